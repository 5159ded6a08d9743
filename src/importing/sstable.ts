import { BinaryReader } from "@bufbuild/protobuf/wire";
import { maskedCrc32c } from "../crc32c.ts";
import { FileError, reasonOf } from "../errors.ts";

/** LevelDB table format: the last 48 bytes hold two block handles, padding, and these 8 bytes (little-endian). */
const FOOTER_BYTES = 48;
const MAGIC = 0xdb4775248b80fb57n;
/** After each block: 1 byte compression type, 4 bytes masked CRC-32C of the block and the type. */
const TRAILER_BYTES = 5;

/** Keys share prefixes, so a small file can claim large keys; these bound what they unfold to. */
const MAX_KEY_BYTES = 1024;
const MAX_ENTRIES = 100_000;

/** An entry: its key, and its value as a view of the file that begins at byte `offset`. */
export interface TableEntry {
  readonly key: string;
  readonly value: Uint8Array;
  readonly offset: number;
}

/**
 * All entries of a LevelDB sorted string table with uncompressed blocks, in key order. Every block's CRC is verified.
 *
 * @throws FileError naming `path` and the byte
 */
export function readTable(bytes: Uint8Array, path: string): TableEntry[] {
  const footer = bytes.length - FOOTER_BYTES;
  const magicAt = bytes.length - 8;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (footer < 0 || view.getBigUint64(magicAt, true) !== MAGIC) {
    throw new FileError(path, "does not end as the index of a TensorFlow V2 checkpoint does (table magic not found)");
  }
  // The first handle is that of the meta-index, which holds nothing that is needed here.
  const handles = parsing(path, footer, () => {
    const reader = new BinaryReader(bytes.subarray(footer, magicAt));
    for (let i = 0; i < 2; i += 1) reader.uint64();
    return reader.pos;
  });
  const [indexStart, indexEnd] = readHandle(bytes, bytes.subarray(footer + handles, magicAt), footer + handles, path);
  const entries: TableEntry[] = [];
  let last: Buffer | undefined;
  let free = 0;
  for (const { value: handle, offset } of readBlock(bytes, indexStart, indexEnd, path)) {
    const [start, end] = readHandle(bytes, handle, offset, path);
    if (start < free) throw new FileError(path, `byte ${offset}: blocks overlap or are not in order`);
    free = end;
    for (const { key, value, offset: at } of readBlock(bytes, start, end, path)) {
      if (last !== undefined && last.compare(key) >= 0) throw new FileError(path, `byte ${at}: keys are not in order`);
      if (entries.length === MAX_ENTRIES) throw new FileError(path, `holds more than ${MAX_ENTRIES} entries`);
      last = key;
      entries.push({ key: parsing(path, at, () => utf8.decode(key)), value, offset: at });
    }
  }
  return entries;
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

interface BlockEntry {
  readonly key: Buffer;
  readonly value: Uint8Array;
  readonly offset: number;
}

/** Start and end of the block that `handle` (standing at byte `handleAt`) points to, without the block's trailer. */
function readHandle(bytes: Uint8Array, handle: Uint8Array, handleAt: number, path: string): [number, number] {
  return parsing(path, handleAt, () => {
    const reader = new BinaryReader(handle);
    const start = Number(reader.uint64());
    const end = start + Number(reader.uint64());
    if (end + TRAILER_BYTES + FOOTER_BYTES > bytes.length)
      throw new Error(`block ${start} to ${end} does not fit in the file`);
    return [start, end];
  });
}

function readBlock(bytes: Uint8Array, start: number, end: number, path: string): BlockEntry[] {
  const stored = new DataView(bytes.buffer, bytes.byteOffset + end + 1).getUint32(0, true);
  if (stored !== maskedCrc32c(bytes.subarray(start, end + 1))) {
    throw new FileError(path, `byte ${start}: the block is damaged (its CRC-32C differs)`);
  }
  if (bytes[end] !== 0) {
    const compression = bytes[end] === 1 ? "snappy" : `type ${bytes[end]}`;
    throw new FileError(
      path,
      `byte ${start}: the block is compressed (${compression}), only uncompressed ones are read`,
    );
  }
  return parsing(path, start, () => [...entriesOf(bytes.subarray(start, end), start)]);
}

/** A block is entries (shared key bytes, own key bytes, value bytes, own key, value), then restart offsets and their count. */
function* entriesOf(block: Uint8Array, blockAt: number): Generator<BlockEntry> {
  if (block.length < 4) throw new Error("a block has at least 4 bytes");
  const restarts = new DataView(block.buffer, block.byteOffset + block.length - 4).getUint32(0, true);
  const end = block.length - 4 - 4 * restarts;
  if (end < 0) throw new Error(`the block claims ${restarts} restart points`);
  const reader = new BinaryReader(block.subarray(0, end));
  let key = Buffer.alloc(0);
  let count = 0;
  while (reader.pos < end) {
    const [shared, own, length] = [reader.uint32(), reader.uint32(), reader.uint32()];
    const at = reader.pos + own;
    if (shared > key.length || at + length > end)
      throw new Error(`malformed entry in front of byte ${blockAt + reader.pos}`);
    if (shared + own > MAX_KEY_BYTES)
      throw new Error(`a key of ${shared + own} bytes, at most ${MAX_KEY_BYTES} are read`);
    count += 1;
    if (count > MAX_ENTRIES) throw new Error(`the block holds more than ${MAX_ENTRIES} entries`);
    key = Buffer.concat([key.subarray(0, shared), block.subarray(reader.pos, at)]);
    reader.pos = at + length;
    yield { key, value: block.subarray(at, at + length), offset: blockAt + at };
  }
}

/** Turns the errors of the wire primitives into FileErrors that name the byte. */
function parsing<T>(path: string, offset: number, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new FileError(path, `byte ${offset}: ${reasonOf(error)}`, { cause: error });
  }
}
