import { maskedCrc32c } from "../crc32c.ts";
import { FileError } from "../errors.ts";
import { readBounded } from "../files.ts";
import { fieldsOf, fileSpan, float32sOf, type Span, spanError } from "../tensor/protobuf.ts";
import { readTable, type TableEntry } from "./sstable.ts";

const MAX_INDEX_BYTES = 2 ** 26;
const MAX_SHARD_BYTES = 2 ** 30;
const MAX_SHARDS = 64;
const DT_FLOAT = 1;

/** A float32 variable, row-major. */
export interface TfVariable {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** A BundleEntryProto: where a tensor stands in the data files. */
interface BundleEntry {
  readonly name: string;
  readonly dtype: number;
  readonly shape: number[];
  readonly shard: number;
  readonly offset: number;
  readonly size: number;
  readonly crc: number;
}

/**
 * The float32 variables of a TensorFlow V2 checkpoint (`X.index`, `X.data-00000-of-0000N`) by name; variables of other
 * types, such as step counters, are left out. Every CRC is verified.
 *
 * @param prefix the path X, as TensorFlow itself takes it; `X.index` will do too
 * @throws FileError naming the file and the byte or variable
 */
export function readTfCheckpoint(prefix: string): Map<string, TfVariable> {
  const path = prefix.replace(/\.index$/, "");
  const index = readBounded(`${path}.index`, MAX_INDEX_BYTES);
  const { shards } = parseIndex(index, path);
  const data = Array.from({ length: shards }, (_, shard) =>
    readBounded(shardPath(path, shard, shards), MAX_SHARD_BYTES),
  );
  return decodeTfCheckpoint(index, data, path);
}

/** `readTfCheckpoint` on the bytes of the index and of its data files in order; `path` is the prefix, for messages. */
export function decodeTfCheckpoint(
  index: Uint8Array,
  shards: readonly Uint8Array[],
  path: string,
): Map<string, TfVariable> {
  const { shards: expected, entries } = parseIndex(index, path);
  if (shards.length !== expected) {
    throw new FileError(`${path}.index`, `belongs to ${expected} data files, ${shards.length} are given`);
  }
  const floats = entries.filter(({ dtype }) => dtype === DT_FLOAT);
  const claimed = floats.reduce((total, { size }) => total + size, 0);
  const held = shards.reduce((total, { length }) => total + length, 0);
  if (claimed > held) {
    throw new FileError(`${path}.index`, `names ${claimed} bytes of variables, its data files hold ${held}`);
  }
  return new Map(floats.map((entry) => [entry.name, readVariable(entry, shards, path)]));
}

function shardPath(path: string, shard: number, shards: number): string {
  const digits = (value: number): string => String(value).padStart(5, "0");
  return `${path}.data-${digits(shard)}-of-${digits(shards)}`;
}

function readVariable(entry: BundleEntry, shards: readonly Uint8Array[], path: string): TfVariable {
  const { name, shape, shard, offset, size, crc } = entry;
  const needed = shape.reduce((product, dim) => product * dim, 4);
  if (needed !== size) {
    throw new FileError(
      `${path}.index`,
      `variable "${name}" of shape [${shape.join(", ")}] claims ${size} bytes, expected ${needed}`,
    );
  }
  const bytes = shards[shard]?.subarray(offset, offset + size);
  if (bytes?.length !== size) {
    throw new FileError(
      shardPath(path, shard, shards.length),
      `variable "${name}" would stand at bytes ${offset} to ${offset + size}, beyond the end: is the file complete?`,
    );
  }
  if (maskedCrc32c(bytes) !== crc) {
    throw new FileError(
      shardPath(path, shard, shards.length),
      `variable "${name}" at byte ${offset} is damaged (its CRC-32C differs)`,
    );
  }
  return { shape, data: float32sOf(bytes) };
}

function parseIndex(bytes: Uint8Array, path: string): { shards: number; entries: BundleEntry[] } {
  const file = fileSpan(`${path}.index`, bytes);
  const [header, ...rest] = readTable(bytes, file.path);
  if (header?.key !== "") throw spanError(file, "the table has no bundle header (an entry with an empty key)");
  const shards = readHeader({ ...file, bytes: header.value, offset: header.offset });
  return { shards, entries: rest.map((entry) => readEntry(entry, file, shards)) };
}

/** Number of data files. */
function readHeader(span: Span): number {
  let shards = 0;
  for (const field of fieldsOf(span)) {
    if (field.number === 1) shards = field.int();
    else if (field.number === 2 && field.int() !== 0)
      throw field.error("the checkpoint is big-endian, expected little");
  }
  if (shards < 1 || shards > MAX_SHARDS) throw spanError(span, `${shards} data files, expected 1 to ${MAX_SHARDS}`);
  return shards;
}

function readEntry({ key: name, value, offset: at }: TableEntry, file: Span, shards: number): BundleEntry {
  const span = { ...file, bytes: value, offset: at };
  const entry = { name, dtype: 0, shape: [] as number[], shard: 0, offset: 0, size: 0, crc: 0 };
  for (const field of fieldsOf(span)) {
    if (field.number === 1) entry.dtype = field.int();
    else if (field.number === 2) entry.shape = readShape(field.span());
    else if (field.number === 3) entry.shard = field.int();
    else if (field.number === 4) entry.offset = field.int();
    else if (field.number === 5) entry.size = field.int();
    else if (field.number === 6) entry.crc = field.fixed32();
    else if (field.number === 7) throw field.error(`variable "${name}" is stored in slices, which is not supported`);
  }
  if (entry.shard < 0 || entry.shard >= shards || entry.offset < 0 || entry.size < 0) {
    throw spanError(span, `variable "${name}" has shard ${entry.shard}, offset ${entry.offset}, size ${entry.size}`);
  }
  return entry;
}

function readShape(span: Span): number[] {
  const shape: number[] = [];
  for (const field of fieldsOf(span)) {
    if (field.number !== 2) continue;
    let size = 0;
    for (const inner of fieldsOf(field.span())) if (inner.number === 1) size = inner.int();
    if (size < 0) throw field.error(`dimension ${size} is negative`);
    shape.push(size);
  }
  return shape;
}
