import { crc32, inflateRawSync } from "node:zlib";
import { FileError, reasonOf } from "../errors.ts";

/** Signatures and sizes of APPNOTE.TXT 6.3.10, sections 4.3.7, 4.3.12, 4.3.14 to 4.3.16. */
const END = { signature: 0x06054b50, bytes: 22 };
const CENTRAL = { signature: 0x02014b50, bytes: 46 };
const LOCAL = { signature: 0x04034b50, bytes: 30 };
/** Longest comment behind the end record. */
const MAX_COMMENT = 65_535;
const STORED = 0;
const DEFLATED = 8;

interface Entry {
  readonly method: number;
  readonly crc: number;
  readonly compressed: number;
  readonly size: number;
  readonly offset: number;
}

/**
 * A zip archive in memory, read entry by entry. Names are only looked up, never used as paths; nothing is written. Sizes are
 * checked before anything is inflated, and an entry gives no more bytes than its size says.
 */
export class ZipArchive {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #path: string;
  readonly #maxBytes: number;
  readonly #entries = new Map<string, Entry>();

  /**
   * @param maxBytes largest size of one entry
   * @throws FileError when it is no zip archive, has several parts, encrypted entries or a name twice
   */
  constructor(bytes: Uint8Array, path: string, maxBytes: number) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#path = path;
    this.#maxBytes = maxBytes;
    this.#readDirectory();
  }

  /** Names of all entries, in the order of the directory. */
  get names(): string[] {
    return [...this.#entries.keys()];
  }

  /**
   * The content of an entry; `undefined` when there is none of that name.
   * @throws FileError when it is damaged, too large, or compressed in another way than deflate
   */
  read(name: string): Uint8Array | undefined {
    const entry = this.#entries.get(name);
    if (entry === undefined) return undefined;
    const { method, crc, compressed, size, offset } = entry;
    if (size > this.#maxBytes) this.#fail(name, `holds ${size} bytes, at most ${this.#maxBytes} are read`);
    if (this.#u32(offset, name) !== LOCAL.signature) this.#fail(name, "has no local header where the directory says");
    const start = offset + LOCAL.bytes + this.#u16(offset + 26, name) + this.#u16(offset + 28, name);
    if (start + compressed > this.#bytes.length) this.#fail(name, "reaches beyond the file");
    const packed = this.#bytes.subarray(start, start + compressed);
    const content = method === STORED ? packed : this.#inflate(packed, size, name);
    if (content.length !== size) this.#fail(name, `has ${content.length} bytes, the directory says ${size}`);
    if (crc32(content) !== crc) this.#fail(name, "is damaged: its checksum is another one");
    return content;
  }

  #inflate(packed: Uint8Array, size: number, name: string): Uint8Array {
    try {
      // One byte more than expected, so that a longer stream is noticed and not merely cut.
      return inflateRawSync(packed, { maxOutputLength: size + 1 });
    } catch (error) {
      throw new FileError(this.#path, `entry ${JSON.stringify(name)} cannot be inflated: ${reasonOf(error)}`, {
        cause: error,
      });
    }
  }

  #readDirectory(): void {
    const end = this.#findEnd();
    const count = this.#u16(end + 10, "");
    if (this.#u16(end + 4, "") !== 0 || this.#u16(end + 8, "") !== count) this.#fail("", "is one of several parts");
    let at = this.#u32(end + 16, "");
    for (let i = 0; i < count; i++) {
      if (this.#u32(at, "") !== CENTRAL.signature) this.#fail("", `byte ${at}: entry ${i} of the directory is missing`);
      const nameLength = this.#u16(at + 28, "");
      const nameAt = at + CENTRAL.bytes;
      if (nameAt + nameLength > this.#bytes.length) this.#fail("", `byte ${at}: a name reaches beyond the file`);
      const name = new TextDecoder().decode(this.#bytes.subarray(nameAt, nameAt + nameLength));
      if (this.#entries.has(name)) this.#fail(name, "stands twice");
      if ((this.#u16(at + 8, name) & 1) !== 0) this.#fail(name, "is encrypted");
      const method = this.#u16(at + 10, name);
      if (method !== STORED && method !== DEFLATED) this.#fail(name, `is compressed by method ${method}`);
      this.#entries.set(name, {
        method,
        crc: this.#u32(at + 16, name),
        compressed: this.#u32(at + 20, name),
        size: this.#u32(at + 24, name),
        offset: this.#u32(at + 42, name),
      });
      at = nameAt + nameLength + this.#u16(at + 30, name) + this.#u16(at + 32, name);
    }
  }

  /** The end record: the last one that reaches just to the end of the file with its comment. */
  #findEnd(): number {
    const last = this.#bytes.length - END.bytes;
    for (let at = last; at >= Math.max(0, last - MAX_COMMENT); at--) {
      const ends = this.#view.getUint32(at, true) === END.signature;
      if (ends && at + END.bytes + this.#view.getUint16(at + 20, true) === this.#bytes.length) return at;
    }
    throw new FileError(this.#path, "is no zip archive (its end record was not found)");
  }

  #u16(at: number, name: string): number {
    if (at + 2 > this.#bytes.length) this.#fail(name, "reaches beyond the file");
    return this.#view.getUint16(at, true);
  }

  #u32(at: number, name: string): number {
    if (at + 4 > this.#bytes.length) this.#fail(name, "reaches beyond the file");
    return this.#view.getUint32(at, true);
  }

  #fail(name: string, what: string): never {
    throw new FileError(this.#path, name === "" ? what : `entry ${JSON.stringify(name)} ${what}`);
  }
}
