/** What Python would pickle: plain values, tuples, lists, names, and objects that are made by a call and get a state. */
export type Pickle =
  | null
  | boolean
  | number
  | string
  | Uint8Array
  | readonly Pickle[]
  | ReadonlyMap<string, Pickle>
  | { readonly global: string }
  | { readonly call: string; readonly args: readonly Pickle[]; readonly state?: Pickle }
  | { readonly list: readonly Pickle[] }
  | { readonly persistent: readonly Pickle[] };

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
}

const op = (...codes: number[]): Buffer => Buffer.from(codes);

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([op(0x58), int32(bytes.length), bytes]);
}

/** By GLOBAL, whose two lines are module and attribute. */
function name(value: string): Buffer {
  const at = value.lastIndexOf(".");
  return Buffer.from(`c${value.slice(0, at)}\n${value.slice(at + 1)}\n`);
}

function encode(value: Pickle): Buffer {
  if (value === null) return op(0x4e);
  if (typeof value === "boolean") return op(value ? 0x88 : 0x89);
  if (typeof value === "string") return text(value);
  if (typeof value === "number") {
    if (Number.isInteger(value)) return Buffer.concat([op(0x4a), int32(value)]);
    const bytes = Buffer.alloc(8);
    bytes.writeDoubleBE(value);
    return Buffer.concat([op(0x47), bytes]);
  }
  if (value instanceof Uint8Array) return Buffer.concat([op(0x42), int32(value.length), value]);
  if (value instanceof Map) {
    const items = [...(value as ReadonlyMap<string, Pickle>)].flatMap(([key, item]) => [encode(key), encode(item)]);
    return Buffer.concat([op(0x7d, 0x28), ...items, op(0x75)]);
  }
  if ("global" in value) return name(value.global);
  if ("call" in value) {
    const made = [name(value.call), encode(value.args), op(0x52)];
    return Buffer.concat(value.state === undefined ? made : [...made, encode(value.state), op(0x62)]);
  }
  if ("list" in value) return Buffer.concat([op(0x5d, 0x28), ...value.list.map(encode), op(0x65)]);
  if ("persistent" in value) return Buffer.concat([encode(value.persistent), op(0x51)]);
  return Buffer.concat([op(0x28), ...(value as readonly Pickle[]).map(encode), op(0x74)]);
}

/** A pickle of protocol 2. */
export function pickleOf(value: Pickle): Buffer {
  return Buffer.concat([op(0x80, 2), encode(value), op(0x2e)]);
}
