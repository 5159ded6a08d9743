import { z } from "zod";
import { FileError, reasonOf, ShapeError } from "./errors.ts";
import type { PlainArray } from "./plain.ts";

/** Longest header that the standard allows. */
const MAX_HEADER_BYTES = 100_000_000;

const METADATA = "__metadata__";

const dtypes = {
  F64: { bytes: 8, read: (data: ArrayBuffer): PlainArray => new Float64Array(data) },
  F32: { bytes: 4, read: (data: ArrayBuffer): PlainArray => new Float32Array(data) },
  F16: { bytes: 2, read: (data: ArrayBuffer): PlainArray => Float32Array.from(new Uint16Array(data), halfToNumber) },
  I32: { bytes: 4, read: (data: ArrayBuffer): PlainArray => new Int32Array(data) },
  U32: { bytes: 4, read: (data: ArrayBuffer): PlainArray => new Uint32Array(data) },
  U8: { bytes: 1, read: (data: ArrayBuffer): PlainArray => new Uint8Array(data) },
  I64: { bytes: 8, read: (data: ArrayBuffer): PlainArray => Float64Array.from(new BigInt64Array(data), Number) },
  BOOL: { bytes: 1, read: (data: ArrayBuffer): PlainArray => new Uint8Array(data) },
} as const;

type SafetensorsDtype = keyof typeof dtypes;

/** A tensor, row-major. `shape` [] is a scalar with one element. */
export interface Safetensor {
  readonly shape: readonly number[];
  readonly data: PlainArray;
  /** Stored as F16, each number rounded to the nearest one that there is. */
  readonly half?: boolean;
}

export interface SafetensorsFile {
  /** By name, in the order in which they stand in the file. F16 is widened to Float32Array, I64 to Float64Array, BOOL is 0 or 1. */
  readonly tensors: Map<string, Safetensor & { readonly dtype: SafetensorsDtype }>;
  /** The `__metadata__` strings; without a prototype. */
  readonly metadata: Readonly<Record<string, string>>;
}

const size = z.number().int().min(0);
const MAX_RANK = 64;
const entrySchema = z.strictObject({
  dtype: z.string(),
  // Of a longer one not every element is told about.
  shape: z.array(z.unknown()).max(MAX_RANK).pipe(z.array(size)),
  data_offsets: z.tuple([size, size]),
});

/** IEEE 754 binary16 as a number. */
export function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
}

/** The IEEE 754 binary16 that is nearest to a number, of two the even one; infinity from 65,520 on. */
export function numberToHalf(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (Number.isNaN(size)) return 0x7e00;
  if (size >= 65_520) return sign | 0x7c00;
  // Below 2 ** -14 all are multiples of one unit.
  const exponent = Math.max(-14, Math.floor(Math.log2(size)));
  const units = size / 2 ** (exponent - 10);
  const below = Math.floor(units);
  const up = units - below > 0.5 || (units - below === 0.5 && below % 2 === 1);
  // The highest of a normal number's 11 bits, and what rounding carries, add to the exponent.
  return sign | (((exponent + 14) << 10) + below + (up ? 1 : 0));
}

function dtypeOf(data: PlainArray | Uint16Array): SafetensorsDtype {
  if (data instanceof Uint16Array) return "F16";
  if (data instanceof Float32Array) return "F32";
  if (data instanceof Float64Array) return "F64";
  if (data instanceof Int32Array) return "I32";
  return data instanceof Uint32Array ? "U32" : "U8";
}

/** Elements of a shape, or `undefined` when the product leaves the integers that a number holds exactly. */
function elementsOf(shape: readonly number[]): number | undefined {
  let elements = 1;
  for (const length of shape) {
    elements *= length;
    if (!Number.isSafeInteger(elements)) return undefined;
  }
  return elements;
}

/**
 * The bytes of a safetensors file: 8 bytes header length, JSON header padded with spaces to a multiple of 8, then the
 * tensors in the order of the map. Equal tensors and metadata in equal order give equal bytes.
 *
 * @throws ShapeError when a shape does not fit its data, or the header is over the standard's 100 MB
 */
export function encodeSafetensors(
  tensors: ReadonlyMap<string, Safetensor>,
  metadata: Readonly<Record<string, string>>,
): Uint8Array<ArrayBuffer> {
  // Joined by hand: an object would reorder names that look like numbers.
  const entries = [`${JSON.stringify(METADATA)}:${JSON.stringify(metadata)}`];
  const parts: (PlainArray | Uint16Array)[] = [];
  let end = 0;
  for (const [name, { shape, data, half }] of tensors) {
    if (name === METADATA || elementsOf(shape) !== data.length) {
      throw new ShapeError(
        "encodeSafetensors",
        `tensor "${name}" of ${data.length} elements has shape [${shape.join(", ")}]`,
      );
    }
    const stored = half ? Uint16Array.from(data, numberToHalf) : data;
    parts.push(stored);
    const start = end;
    end += stored.byteLength;
    entries.push(
      `${JSON.stringify(name)}:${JSON.stringify({ dtype: dtypeOf(stored), shape, data_offsets: [start, end] })}`,
    );
  }
  const json = Buffer.from(`{${entries.join(",")}}`);
  const headerBytes = Math.ceil(json.length / 8) * 8;
  if (headerBytes > MAX_HEADER_BYTES) {
    throw new ShapeError(
      "encodeSafetensors",
      `the header needs ${headerBytes} bytes, the format allows ${MAX_HEADER_BYTES}`,
    );
  }
  const bytes = new Uint8Array(8 + headerBytes + end);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(headerBytes), true);
  bytes.fill(0x20, 8, 8 + headerBytes);
  bytes.set(json, 8);
  let at = 8 + headerBytes;
  for (const part of parts) {
    bytes.set(new Uint8Array(part.buffer, part.byteOffset, part.byteLength), at);
    at += part.byteLength;
  }
  return bytes;
}

/**
 * Reads a safetensors file with every check of the standard: header length and start, no duplicate keys, each tensor's
 * bytes equal to shape times element size, tensors side by side without holes or overlap up to the last byte. Tensors
 * are copies. NaN and infinity pass: they are data here.
 *
 * @throws FileError naming `path` and the tensor or byte
 */
export function decodeSafetensors(bytes: Uint8Array, path: string): SafetensorsFile {
  const refuse = (message: string): never => {
    throw new FileError(path, message);
  };
  if (bytes.length < 8) refuse(`holds ${bytes.length} bytes, a safetensors file begins with 8 bytes of header length`);
  const declared = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  if (declared > MAX_HEADER_BYTES)
    refuse(`byte 0: header of ${declared} bytes, at most ${MAX_HEADER_BYTES} are allowed`);
  const dataStart = 8 + Number(declared);
  if (dataStart > bytes.length) refuse(`byte 0: header of ${declared} bytes, but ${bytes.length - 8} follow`);

  const metadata = Object.create(null) as Record<string, string>;
  const entries: { name: string; dtype: SafetensorsDtype; shape: number[]; start: number; end: number }[] = [];
  for (const [name, value] of Object.entries(parseHeader(bytes.subarray(8, dataStart), path))) {
    if (name === METADATA) {
      if (typeof value !== "object" || value === null || Array.isArray(value)) refuse(`${METADATA} is not an object`);
      for (const [key, text] of Object.entries(value as object)) {
        metadata[key] = typeof text === "string" ? text : refuse(`metadata "${key}" is not a string`);
      }
      continue;
    }
    const parsed = entrySchema.safeParse(value);
    if (!parsed.success) {
      return refuse(`tensor "${name}": expected dtype, shape and data_offsets: ${z.prettifyError(parsed.error)}`);
    }
    const { shape, data_offsets } = parsed.data;
    if (!Object.hasOwn(dtypes, parsed.data.dtype)) {
      refuse(
        `tensor "${name}": dtype ${parsed.data.dtype} is not supported, expected ${Object.keys(dtypes).join(", ")}`,
      );
    }
    const dtype = parsed.data.dtype as SafetensorsDtype;
    const [start, end] = data_offsets;
    const needed = (elementsOf(shape) ?? Number.POSITIVE_INFINITY) * dtypes[dtype].bytes;
    if (end - start !== needed) {
      refuse(
        `tensor "${name}": data_offsets [${start}, ${end}], but ${dtype} of shape [${shape.join(", ")}] needs ${needed} bytes`,
      );
    }
    entries.push({ name, dtype, shape, start, end });
  }

  const tensors: SafetensorsFile["tensors"] = new Map();
  let expected = 0;
  entries.sort((a, b) => a.start - b.start || a.end - b.end);
  for (const { name, dtype, shape, start, end } of entries) {
    if (start !== expected)
      refuse(`tensor "${name}": its data begins at ${start}, expected ${expected} (no holes, no overlap)`);
    if (dataStart + end > bytes.length) {
      refuse(`tensor "${name}": its data ends at ${end}, but the file holds ${bytes.length - dataStart} bytes of data`);
    }
    // A copy whose alignment is its own; not `slice`, which for a Buffer is a view.
    const { buffer } = new Uint8Array(bytes.subarray(dataStart + start, dataStart + end));
    tensors.set(name, { dtype, shape, data: dtypes[dtype].read(buffer) });
    expected = end;
  }
  if (dataStart + expected !== bytes.length) {
    refuse(`byte ${dataStart + expected}: ${bytes.length - dataStart - expected} bytes belong to no tensor`);
  }
  return { tensors, metadata };
}

function parseHeader(header: Uint8Array, path: string): object {
  if (header[0] !== 0x7b) throw new FileError(path, "byte 8: the header does not begin with {");
  let json: string;
  let value: unknown;
  try {
    json = new TextDecoder("utf-8", { fatal: true }).decode(header);
    value = JSON.parse(json);
  } catch (error) {
    throw new FileError(path, `byte 8: the header is not JSON: ${reasonOf(error)}`, { cause: error });
  }
  const duplicate = duplicateKey(json);
  if (duplicate !== undefined) throw new FileError(path, `the header has the key ${duplicate} twice`);
  // It begins with { and is JSON, so it is an object.
  return value as object;
}

/** A key that stands twice in one object of `json`, which is valid JSON; `JSON.parse` keeps the last one silently. */
function duplicateKey(json: string): string | undefined {
  const objects: Set<string>[] = [];
  const colon = /\s*:/y;
  for (let at = 0; at < json.length; at += 1) {
    const character = json[at];
    if (character === "{") objects.push(new Set());
    else if (character === "}") objects.pop();
    else if (character === '"') {
      const start = at;
      at += 1;
      while (json[at] !== '"') at += json[at] === "\\" ? 2 : 1;
      colon.lastIndex = at + 1;
      // A string is a key exactly when a colon follows it.
      if (!colon.test(json)) continue;
      const token = json.slice(start, at + 1);
      const key = JSON.parse(token) as string;
      const keys = objects.at(-1);
      if (keys?.has(key)) return token;
      keys?.add(key);
    }
  }
  return undefined;
}
