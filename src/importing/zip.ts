import { constants, crc32, inflateRawSync } from "node:zlib";
import { FileError, reasonOf } from "../errors.ts";

/** Signatures and sizes of APPNOTE.TXT 6.3.10, sections 4.3.7, 4.3.12, 4.3.14 to 4.3.16. */
const END = { signature: 0x06054b50, bytes: 22 };
const END64 = { signature: 0x06064b50, bytes: 56 };
const LOCATOR64 = { signature: 0x07064b50, bytes: 20 };
const CENTRAL = { signature: 0x02014b50, bytes: 46 };
const LOCAL = { signature: 0x04034b50, bytes: 30 };
/** Longest comment behind the end record. */
const MAX_COMMENT = 65_535;
const STORED = 0;
const DEFLATED = 8;
/** What all entries may hold together, in bytes of the archive: trained weights hardly compress, bombs do it a thousandfold. */
const MAX_RATIO = 100;
/** Bytes in the archive that the beginning of an entry is read from. */
const BEGINNING = 2 ** 16;
/** Deflate makes no more than this of a byte. */
const MAX_DEFLATION = 1032;
/** What any archive of a policy may hold. */
const FREE_BYTES = 2 ** 20;

interface Entry {
  readonly method: number;
  readonly crc: number;
  readonly size: number;
  readonly packed: Uint8Array;
}

/**
 * A zip archive in memory, read entry by entry. Names are only looked up, never used as paths; nothing is written. What the
 * entries hold together is bounded by the archive's own size before anything is inflated, and an entry gives no more bytes
 * than the directory says. Directory and local headers have to agree, so that every reader sees the same entries.
 */
export class ZipArchive {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #path: string;
  readonly #entries: ReadonlyMap<string, Entry>;

  /**
   * @param free bytes that the entries may hold together in any case
   * @param whole bytes of the file that it comes from, if it is an entry of another archive: an archive in an archive is no
   * reason for more
   * @throws FileError when it is no zip archive, has several parts, encrypted entries, a name twice, or holds too much
   */
  constructor(bytes: Uint8Array, path: string, free = FREE_BYTES, whole = bytes.length) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#path = path;
    this.#entries = this.#readDirectory(free, whole);
  }

  /** Names of all entries, in the order of the directory. */
  get names(): string[] {
    return [...this.#entries.keys()];
  }

  /**
   * The content of an entry, anew with every call; `undefined` when there is none of that name.
   * @throws FileError when it is damaged
   */
  read(name: string): Uint8Array | undefined {
    const entry = this.#entries.get(name);
    if (entry === undefined) return undefined;
    const { method, crc, size, packed } = entry;
    const content = method === STORED ? packed : this.#inflate(packed, size, name);
    if (content.length !== size) this.#fail(name, `has ${content.length} bytes, the directory says ${size}`);
    if (crc32(content) !== crc) this.#fail(name, "is damaged: its checksum is another one");
    return content;
  }

  /** The beginning of an entry: what its first 64 KiB in the archive hold, whatever comes behind them. No checksum covers it. */
  begin(name: string): Uint8Array | undefined {
    const entry = this.#entries.get(name);
    const first = entry?.packed.subarray(0, BEGINNING);
    if (entry === undefined || first === undefined || entry.method === STORED) return first;
    return this.#inflate(first, Math.min(entry.size, BEGINNING * MAX_DEFLATION), name, constants.Z_SYNC_FLUSH);
  }

  #inflate(packed: Uint8Array, size: number, name: string, finishFlush = constants.Z_FINISH): Uint8Array {
    try {
      // One byte more than expected, so that a longer stream is noticed and not merely cut.
      return inflateRawSync(packed, { maxOutputLength: size + 1, finishFlush });
    } catch (error) {
      throw new FileError(this.#path, `entry ${JSON.stringify(name)} cannot be inflated: ${reasonOf(error)}`, {
        cause: error,
      });
    }
  }

  #readDirectory(free: number, whole: number): Map<string, Entry> {
    const end = this.#findEnd();
    const count = this.#u16(end + 10);
    const start = this.#u32(end + 16);
    if (this.#u16(end + 4) !== 0 || this.#u16(end + 6) !== 0 || this.#u16(end + 8) !== count) {
      throw new FileError(this.#path, "is one of several parts of an archive, expected a whole one");
    }
    this.#checkEnd64(end, count, start);
    const entries = new Map<string, Entry>();
    const spans: { name: string; from: number; to: number }[] = [{ name: "directory", from: start, to: end }];
    let held = 0;
    let at = start;
    for (let i = 0; i < count; i++) {
      if (this.#u32(at) !== CENTRAL.signature) this.#refuse(at, `entry ${i} of the directory is missing`);
      const name = this.#name(at + CENTRAL.bytes, this.#u16(at + 28));
      if (entries.has(name)) this.#fail(name, "stands twice");
      if ((this.#u16(at + 8) & 1) !== 0) this.#fail(name, "is encrypted");
      const method = this.#u16(at + 10);
      if (method !== STORED && method !== DEFLATED) this.#fail(name, `is compressed by method ${method}`);
      const compressed = this.#u32(at + 20);
      const size = this.#u32(at + 24);
      const from = this.#u32(at + 42);
      // 2^32 - 1 stands for a number in an extra field, of an entry of 4 GiB: more than is read.
      if ([compressed, size, from].includes(0xffffffff)) this.#fail(name, "is of zip64 size, at most 4 GiB are read");
      held += size;
      const crc = this.#u32(at + 16);
      const data = this.#dataOf(name, from, { method, crc, size });
      spans.push({ name, from, to: data + compressed });
      entries.set(name, { method, crc, size, packed: this.#slice(name, data, compressed) });
      at += CENTRAL.bytes + this.#u16(at + 28) + this.#u16(at + 30) + this.#u16(at + 32);
    }
    if (at > end) this.#refuse(at, "the directory reaches beyond its end");
    const most = MAX_RATIO * whole + free;
    if (held > most) {
      throw new FileError(
        this.#path,
        `holds ${held} bytes in ${whole}, at most ${most} are inflated: such archives are made to harm`,
      );
    }
    for (const [i, { name, from }] of spans.sort((a, b) => a.from - b.from || a.to - b.to).entries()) {
      if (from < (spans[i - 1]?.to ?? 0)) this.#fail(name, "overlaps another part of the archive");
    }
    return entries;
  }

  /** Where the content of an entry begins, behind its local header, which has to say what the directory does. */
  #dataOf(name: string, at: number, { method, crc, size }: Omit<Entry, "packed">): number {
    if (this.#u32(at) !== LOCAL.signature) this.#fail(name, "has no local header where the directory says");
    const nameLength = this.#u16(at + 26);
    if (this.#name(at + LOCAL.bytes, nameLength) !== name) this.#fail(name, "has another name in its local header");
    const flags = this.#u16(at + 6);
    // With bit 3 the checksum and the sizes stand behind the content.
    const late = (flags & 8) !== 0;
    const same = late || (this.#u32(at + 14) === crc && [size, 0xffffffff].includes(this.#u32(at + 22)));
    if (!same || (flags & 1) !== 0 || this.#u16(at + 8) !== method) {
      this.#fail(name, "is said to be another one in its local header");
    }
    return at + LOCAL.bytes + nameLength + this.#u16(at + 28);
  }

  /** Writers that are ready for zip64 (PyTorch's) repeat the end record in its form: then both have to say the same. */
  #checkEnd64(end: number, count: number, start: number): void {
    const locator = end - LOCATOR64.bytes;
    if (locator < 0 || this.#u32(locator) !== LOCATOR64.signature) return;
    const at = this.#u64(locator + 8);
    const same =
      at + END64.bytes <= locator &&
      this.#u32(at) === END64.signature &&
      this.#u64(at + 32) === count &&
      this.#u64(at + 48) === start;
    if (!same) this.#refuse(locator, "the zip64 end record says something else than the ordinary one");
  }

  /** The end record: the last one that reaches just to the end of the file with its comment. */
  #findEnd(): number {
    const last = this.#bytes.length - END.bytes;
    for (let at = last; at >= Math.max(0, last - MAX_COMMENT); at--) {
      const ends = this.#view.getUint32(at, true) === END.signature;
      if (ends && at + END.bytes + this.#view.getUint16(at + 20, true) === this.#bytes.length) return at;
    }
    throw new FileError(this.#path, "is no zip archive, or not a whole one (its end record was not found)");
  }

  #name(at: number, length: number): string {
    return new TextDecoder().decode(this.#slice("", at, length));
  }

  #slice(name: string, at: number, length: number): Uint8Array {
    if (at + length > this.#bytes.length) this.#fail(name, "reaches beyond the file");
    return this.#bytes.subarray(at, at + length);
  }

  #u16(at: number): number {
    if (at + 2 > this.#bytes.length) this.#refuse(at, "a number reaches beyond the file");
    return this.#view.getUint16(at, true);
  }

  #u32(at: number): number {
    if (at + 4 > this.#bytes.length) this.#refuse(at, "a number reaches beyond the file");
    return this.#view.getUint32(at, true);
  }

  /** Only compared with offsets of the file, so rounding beyond 2^53 does no harm. */
  #u64(at: number): number {
    return this.#u32(at) + 2 ** 32 * this.#u32(at + 4);
  }

  #refuse(at: number, what: string): never {
    throw new FileError(this.#path, `zip archive, byte ${at}: ${what}`);
  }

  #fail(name: string, what: string): never {
    throw new FileError(this.#path, `entry ${JSON.stringify(name)} ${what}`);
  }
}
