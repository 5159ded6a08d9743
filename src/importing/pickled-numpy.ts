import { elementsOf } from "../shape.ts";
import { decodeNumbers, type NumberType } from "./numbers.ts";
import { type Pickled, PickledList, PickledObject } from "./pickle.ts";

/** Names that numpy's arrays and generators need in a pickle, of numpy 1 and 2. Generators are read and ignored. */
export const NUMPY_NAMES = [
  "numpy.array",
  "numpy.reshape",
  ...["float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"].map(
    (type) => `numpy.${type}`,
  ),
  "numpy.dtype",
  "numpy.ndarray",
  ...["numpy.core", "numpy._core"].flatMap((core) => [
    `${core}.multiarray._reconstruct`,
    `${core}.multiarray.scalar`,
    `${core}.numeric._frombuffer`,
  ]),
  "numpy.random._pickle.__generator_ctor",
  "numpy.random._pickle.__bit_generator_ctor",
  "numpy.random._pickle.__randomstate_ctor",
  "numpy.random._mt19937.MT19937",
  "gym.utils.seeding.RandomNumberGenerator._generator_ctor",
  "numpy.random._pcg64.PCG64",
  "numpy.random.bit_generator.__pyx_unpickle_SeedSequence",
  "numpy.random.bit_generator.SeedSequence",
] as const;

/** Of an array: many times what observations of images have. */
const MAX_ELEMENTS = 2 ** 22;

export interface NumpyArray {
  readonly shape: readonly number[];
  readonly data: readonly number[];
  /** Code of its numbers, for example `f4`. */
  readonly dtype: string;
}

const formats: Readonly<Record<string, NumberType>> = {
  f4: { kind: "float", bytes: 4, littleEndian: true },
  f8: { kind: "float", bytes: 8, littleEndian: true },
  i4: { kind: "int", bytes: 4, littleEndian: true },
  i8: { kind: "int", bytes: 8, littleEndian: true },
  u1: { kind: "uint", bytes: 1, littleEndian: true },
};

/** An array, or a scalar as one of shape []; `undefined` when it is neither, or of another kind of number. */
export function numpyArray(value: Pickled | undefined): NumpyArray | undefined {
  if (!(value instanceof PickledObject)) return undefined;
  const { name, args, state } = value;
  // As PoPS writes them itself: numpy.array([...], "float32"), in numpy.reshape(..., shape) where it is no vector.
  if (name === "numpy.array" && args[0] instanceof PickledList && args[1] === "float32") {
    const data = args[0].items.filter((item) => typeof item === "number");
    return data.length === args[0].items.length ? { shape: [data.length], dtype: "f4", data } : undefined;
  }
  if (name === "numpy.reshape") {
    const [inner, shape] = [args[0], sizesOf(args[1])];
    // Not of itself, which a pickle can say.
    const flat = inner instanceof PickledObject && inner.name === "numpy.array" ? numpyArray(inner) : undefined;
    return flat && shape && flat.data.length === elementsOf(shape) ? { ...flat, shape } : undefined;
  }
  if (name.endsWith(".multiarray.scalar")) return decode([], args[0], args[1]);
  if (name.endsWith(".numeric._frombuffer")) return decode(sizesOf(args[2]), args[1], args[0]);
  if (name.endsWith(".multiarray._reconstruct") && state instanceof PickledList) {
    const [, shape, dtype, fortran, bytes] = state.items;
    return fortran === true ? undefined : decode(sizesOf(shape), dtype, bytes);
  }
  return undefined;
}

/** Sizes of a shape; `undefined` when it is none. */
export function sizesOf(value: Pickled | undefined): number[] | undefined {
  if (!(value instanceof PickledList)) return undefined;
  const sizes = value.items.filter((item): item is number => typeof item === "number" && item >= 0);
  return sizes.length === value.items.length ? sizes : undefined;
}

function decode(
  shape: readonly number[] | undefined,
  dtype: Pickled | undefined,
  bytes: Pickled | undefined,
): NumpyArray | undefined {
  if (!shape || !(dtype instanceof PickledObject) || !(bytes instanceof Uint8Array)) return undefined;
  const [code] = dtype.args;
  const order = dtype.state instanceof PickledList ? dtype.state.items[1] : "<";
  const known = typeof code === "string" && Object.hasOwn(formats, code) && order !== ">";
  const format = known ? formats[code] : undefined;
  const elements = elementsOf(shape);
  if (elements > MAX_ELEMENTS) return undefined;
  if (!format || typeof code !== "string" || dtype.name !== "numpy.dtype" || bytes.length !== elements * format.bytes)
    return undefined;
  return { shape, dtype: code, data: Array.from(decodeNumbers(bytes, format, new Float64Array(elements))) };
}
