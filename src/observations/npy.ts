import { FileError } from "../errors.ts";
import { decodeNumbers, isReadable, type NumberType } from "../importing/numbers.ts";
import type { ZipArchive } from "../importing/zip.ts";
import { elementsOf } from "../shape.ts";
import type { NamedArray } from "./arrays.ts";
import { MAX_DIMENSIONS, MAX_NPY_HEADER_BYTES } from "./limits.ts";

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];

export const isNpy = (bytes: Uint8Array): boolean => MAGIC.every((byte, i) => bytes[i] === byte);

/** Kinds of numpy's type codes that are numbers; `b` is bool, one byte. */
const KINDS: Readonly<Record<string, NumberType["kind"]>> = { f: "float", i: "int", u: "uint", b: "uint" };

/**
 * An array of numpy (versions 1 to 3 of the format). Arrays of objects are pickles, which are not read.
 * @throws FileError when it is none, or the header is not what numpy writes. What its numbers are is checked when they are read.
 */
export function npyArray(bytes: Uint8Array, name: string, path: string): NamedArray {
  const refuse = (what: string): never => {
    throw new FileError(path, `array ${JSON.stringify(name)} ${what}`);
  };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (!isNpy(bytes) || bytes.length < 12) refuse("is no array of numpy");
  const major = view.getUint8(6);
  if (major < 1 || major > 3) refuse(`is of version ${major} of numpy's format, 1 to 3 are read`);
  const start = major === 1 ? 10 : 12;
  const length = major === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  if (length > MAX_NPY_HEADER_BYTES || start + length > bytes.length) refuse(`has a header of ${length} bytes`);
  const header = new TextDecoder().decode(bytes.subarray(start, start + length));
  const code = /["']descr["']:\s*["']([<>|=]?)(\w)(\d*)["']/.exec(header);
  const fortran = /["']fortran_order["']:\s*(True|False)/.exec(header)?.[1];
  const sizes = /["']shape["']:\s*\(([\d, ]*)\)/.exec(header)?.[1];
  if (fortran === undefined || sizes === undefined) refuse(`has a header that numpy does not write: ${header.trim()}`);
  const shape = (sizes ?? "").split(",").flatMap((size) => (size.trim() === "" ? [] : [Number(size)]));
  if (shape.length > MAX_DIMENSIONS || !shape.every(Number.isSafeInteger)) refuse("has a shape beyond all bounds");
  const [, order, kind = "", size] = code ?? [];
  const type = { kind: KINDS[kind] ?? "uint", bytes: Number(size), littleEndian: order !== ">" };
  const data = bytes.subarray(start + length);
  return {
    name,
    shape,
    floating: kind === "f",
    read: (into) => {
      if (!Object.hasOwn(KINDS, kind) || !isReadable(type) || (kind === "b" && type.bytes !== 1)) {
        const found = code ? `${kind}${size ?? ""}` : "structures";
        const why = kind === "O" ? ": they are pickles, which could run code" : "";
        refuse(`holds ${kind === "O" ? "objects" : found}, numbers and truth values are read${why}`);
      }
      if (elementsOf(shape) * type.bytes !== data.length) {
        refuse(`has ${data.length} bytes of numbers, its shape needs ${elementsOf(shape) * type.bytes}`);
      }
      decodeNumbers(data, type, into);
      return fortran === "True" ? rowMajor(into, shape) : into;
    },
  };
}

/** Numbers whose first index runs fastest, with the last index running fastest. */
function rowMajor<Numbers extends Float32Array | Float64Array>(columns: Numbers, shape: readonly number[]): Numbers {
  const rows = columns.slice() as Numbers;
  const index = shape.map(() => 0);
  const strides = shape.map((_, d) => elementsOf(shape.slice(0, d)));
  let from = 0;
  for (let to = 0; to < rows.length; to++) {
    rows[to] = columns[from]!;
    for (let d = shape.length - 1; d >= 0; d--) {
      index[d]!++;
      from += strides[d]!;
      if (index[d]! < shape[d]!) break;
      from -= strides[d]! * shape[d]!;
      index[d] = 0;
    }
  }
  return rows;
}

/**
 * The arrays of an `.npz` archive, without the ending of their names.
 * @throws FileError when an entry is damaged or no array of numpy
 */
export function npzArrays(archive: ZipArchive, path: string): NamedArray[] {
  return archive.names.map((entry) => {
    const name = entry.replace(/\.npy$/, "");
    // An archive may hold many times what is needed of it.
    const { shape, floating } = npyArray(archive.begin(entry) ?? new Uint8Array(), name, path);
    const whole = (): Uint8Array => archive.read(entry) ?? new Uint8Array();
    return { name, shape, floating, read: (into) => npyArray(whole(), name, path).read(into) };
  });
}
