import { halfToNumber } from "../safetensors.ts";

/** How numbers stand in bytes. */
export interface NumberType {
  readonly kind: "float" | "int" | "uint";
  readonly bytes: number;
  readonly littleEndian: boolean;
}

type Getter = (view: DataView, at: number, littleEndian: boolean) => number;

const getters: Readonly<Record<string, Getter>> = {
  float2: (view, at, little) => halfToNumber(view.getUint16(at, little)),
  float4: (view, at, little) => view.getFloat32(at, little),
  float8: (view, at, little) => view.getFloat64(at, little),
  int1: (view, at) => view.getInt8(at),
  int2: (view, at, little) => view.getInt16(at, little),
  int4: (view, at, little) => view.getInt32(at, little),
  int8: (view, at, little) => Number(view.getBigInt64(at, little)),
  uint1: (view, at) => view.getUint8(at),
  uint2: (view, at, little) => view.getUint16(at, little),
  uint4: (view, at, little) => view.getUint32(at, little),
  uint8: (view, at, little) => Number(view.getBigUint64(at, little)),
};

/** Whether numbers of this type can be read. */
export function isReadable({ kind, bytes }: NumberType): boolean {
  return Object.hasOwn(getters, `${kind}${bytes}`);
}

/** The first `into.length` numbers of the bytes, which hold as many. */
export function decodeNumbers<Into extends Float32Array | Float64Array>(
  bytes: Uint8Array,
  { kind, bytes: size, littleEndian }: NumberType,
  into: Into,
): Into {
  const get = getters[`${kind}${size}`]!;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let i = 0; i < into.length; i++) into[i] = get(view, i * size, littleEndian);
  return into;
}
