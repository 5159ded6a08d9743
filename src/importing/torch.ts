import { FileError } from "../errors.ts";
import { halfToNumber } from "../safetensors.ts";
import { elementsOf } from "../shape.ts";
import { type Pickled, PickledDict, PickledGlobal, PickledList, PickledObject, readPickle } from "./pickle.ts";
import { NUMPY_NAMES } from "./pickled-numpy.ts";
import { ZipArchive } from "./zip.ts";

/** A tensor of a file, row-major and widened to float32. */
export interface NamedTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

const MAX_TENSORS = 100_000;
/** Values of nested dictionaries that are looked at. Dictionaries can share others, so the file's size is no bound. */
const MAX_VISITS = 500_000;
const MAX_DEPTH = 20;
const MAX_NAME = 1_000;
const MAX_RANK = 8;
/** Bytes of all tensors, in bytes of the file: tensors can share storages, as tied weights do, or repeat one element. */
const MAX_SHARING = 16;
/** Bytes of the word `little`, and some around it. */
const MAX_ORDER = 64;

const REBUILD = "torch._utils._rebuild_tensor_v2";
const PARAMETER = "torch._utils._rebuild_parameter";
const ORDERED = "collections.OrderedDict";

interface Format {
  readonly bytes: number;
  readonly read: (view: DataView, at: number) => number;
}

/** A bfloat16 is the upper half of a float32. */
function upperHalf(bits: number): number {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint16(0, bits);
  return view.getFloat32(0);
}

/** Storages by their class, with bytes an element and how to read one. */
const STORAGES = new Map<string, Format>([
  ["torch.FloatStorage", { bytes: 4, read: (view, at) => view.getFloat32(at, true) }],
  ["torch.DoubleStorage", { bytes: 8, read: (view, at) => view.getFloat64(at, true) }],
  ["torch.HalfStorage", { bytes: 2, read: (view, at) => halfToNumber(view.getUint16(at, true)) }],
  ["torch.BFloat16Storage", { bytes: 2, read: (view, at) => upperHalf(view.getUint16(at, true)) }],
  ["torch.LongStorage", { bytes: 8, read: (view, at) => Number(view.getBigInt64(at, true)) }],
  ["torch.IntStorage", { bytes: 4, read: (view, at) => view.getInt32(at, true) }],
  ["torch.ByteStorage", { bytes: 1, read: (view, at) => view.getUint8(at) }],
  ["torch.BoolStorage", { bytes: 1, read: (view, at) => view.getUint8(at) }],
]);

/** What stands beside state dicts in checkpoints: sizes, devices, numbers of numpy. It is read as inert records and left out. */
const BESIDE = ["torch.Size", "torch.device", "_codecs.encode", ...NUMPY_NAMES];
const allowed = new Set([REBUILD, PARAMETER, ORDERED, ...STORAGES.keys(), ...BESIDE]);
const SAVE = "expected a state dict, torch.save(model.state_dict(), path)";

/** Whether a zip archive is one of PyTorch's. */
export function isTorch(archive: ZipArchive): boolean {
  return archive.names.some((name) => /^[^/]+\/data\.pkl$/.test(name));
}

/**
 * The tensors of a PyTorch file (`torch.save` of a state dict, zip format, PyTorch 1.6 and later) by name. Nothing is
 * executed: the pickle inside is read by an interpreter that knows tensors and dictionaries only. Nested dictionaries join
 * their names by dots; entries that are no tensors are left out. Tensors are copies.
 * @param whole bytes of the file that these come from, if it is another
 * @throws FileError when it is another format, damaged, or needs anything else than tensors
 */
export function readTorch(bytes: Uint8Array, path: string, whole = bytes.length): Map<string, NamedTensor> {
  if (bytes[0] === 0x80) throw new FileError(path, `is a PyTorch file of the old format (before 1.6): ${SAVE}`);
  const archive = new ZipArchive(bytes, path, undefined, whole);
  const [name, second] = archive.names.filter((entry) => /^[^/]+\/data\.pkl$/.test(entry));
  const pickle = name === undefined || second !== undefined ? undefined : archive.read(name);
  if (name === undefined || pickle === undefined) throw new FileError(path, `has not just one data.pkl: ${SAVE}`);
  const folder = name.slice(0, -"data.pkl".length);
  if (archive.names.some((entry) => entry.startsWith(`${folder}code/`))) {
    throw new FileError(path, `is TorchScript, which is code: ${SAVE}`);
  }
  const order = archive.read(`${folder}byteorder`);
  if (order !== undefined && order.length > MAX_ORDER) throw new FileError(path, "has an entry byteorder that is none");
  if (order !== undefined && new TextDecoder().decode(order).trim() !== "little") {
    throw new FileError(path, "holds big-endian numbers, expected little-endian ones");
  }
  const reader = new TensorReader(archive, folder, path, MAX_SHARING * whole);
  const root = readPickle(pickle, path, { allowed, persistent: (id) => reader.reference(id), hint: SAVE });
  reader.gather(root, "", 0);
  if (reader.tensors.size === 0) throw new FileError(path, `holds no tensors: ${SAVE}`);
  return reader.tensors;
}

class TensorReader {
  readonly tensors = new Map<string, NamedTensor>();
  readonly #archive: ZipArchive;
  readonly #folder: string;
  readonly #path: string;
  readonly #storages = new Map<string, Uint8Array>();
  #bytesLeft: number;
  #visits = 0;

  constructor(archive: ZipArchive, folder: string, path: string, maxBytes: number) {
    this.#archive = archive;
    this.#folder = folder;
    this.#path = path;
    this.#bytesLeft = maxBytes;
  }

  /** A storage reference stands for itself until a tensor needs it. */
  reference(id: readonly Pickled[]): Pickled {
    const [kind, type, key] = id;
    if (kind !== "storage" || !(type instanceof PickledGlobal) || typeof key !== "string" || !/^\d{1,9}$/.test(key)) {
      throw new FileError(this.#path, "refers to something that is no storage of it");
    }
    return new PickledObject(type.name, [key]);
  }

  gather(value: Pickled, name: string, depth: number): void {
    if (++this.#visits > MAX_VISITS || depth > MAX_DEPTH || this.tensors.size > MAX_TENSORS || name.length > MAX_NAME) {
      throw new FileError(
        this.#path,
        `nests too much: over ${MAX_DEPTH} levels, ${MAX_TENSORS} tensors, ${MAX_VISITS} values or ${MAX_NAME} letters a name`,
      );
    }
    const entries = value instanceof PickledObject && value.name === ORDERED ? value.items : value;
    if (entries instanceof PickledDict) {
      for (const [key, inner] of entries.entries) this.gather(inner, join(name, key), depth + 1);
    } else if (value instanceof PickledList) {
      // CleanRL saves actor and critics as a tuple of state dicts.
      for (const [index, inner] of value.items.entries()) this.gather(inner, join(name, index), depth + 1);
    } else if (value instanceof PickledObject && value.name === PARAMETER) {
      this.gather(value.args[0] ?? null, name, depth + 1);
    } else if (value instanceof PickledObject && value.name === REBUILD) {
      if (this.tensors.has(name)) this.#fail(name, "stands twice");
      this.tensors.set(name, this.#tensor(name, value.args));
    }
  }

  #tensor(name: string, [storage, offset, size, stride]: readonly Pickled[]): NamedTensor {
    const format = storage instanceof PickledObject ? STORAGES.get(storage.name) : undefined;
    const shape = sizesOf(size);
    const strides = sizesOf(stride);
    const starts = typeof offset === "number" && Number.isSafeInteger(offset) && offset >= 0;
    if (!format || !(storage instanceof PickledObject) || !starts || shape?.length !== strides?.length) {
      return this.#fail(name, "is no dense tensor of numbers");
    }
    if (!shape || !strides) return this.#fail(name, `has no shape of up to ${MAX_RANK} sizes`);
    const elements = elementsOf(shape);
    this.#bytesLeft -= 4 * elements;
    // Not "< 0": sizes whose product is beyond all numbers make it NaN.
    if (!(this.#bytesLeft >= 0)) this.#fail(name, `is too large: all together hold over ${MAX_SHARING} times the file`);
    const raw = this.#storage(name, storage.args[0] ?? null);
    const held = Math.floor(raw.length / format.bytes);
    const last = shape.reduce((at, length, axis) => at + (length - 1) * strides[axis]!, offset);
    if (elements > 0 && !(last < held)) this.#fail(name, `reaches beyond its storage of ${held} numbers`);
    const view = new DataView(raw.buffer, raw.byteOffset, raw.length);
    const data = new Float32Array(elements);
    // Where the next element stands, as an odometer of one digit an axis.
    const digits = new Array<number>(shape.length).fill(0);
    let at = offset;
    for (let i = 0; i < elements; i++) {
      data[i] = format.read(view, at * format.bytes);
      for (let axis = shape.length - 1; axis >= 0; axis--) {
        at += strides[axis]!;
        if (++digits[axis]! < shape[axis]!) break;
        at -= shape[axis]! * strides[axis]!;
        digits[axis] = 0;
      }
    }
    return { shape, data };
  }

  /** The content of a storage. It is kept: many tensors may share it. */
  #storage(name: string, key: Pickled): Uint8Array {
    if (typeof key !== "string") return this.#fail(name, "has no storage of this file");
    const raw = this.#storages.get(key) ?? this.#archive.read(`${this.#folder}data/${key}`);
    if (raw === undefined) return this.#fail(name, `needs storage ${key}, which is missing`);
    this.#storages.set(key, raw);
    return raw;
  }

  #fail(name: string, what: string): never {
    throw new FileError(this.#path, `tensor ${JSON.stringify(name.slice(0, MAX_NAME))} ${what}`);
  }
}

function join(name: string, key: string | number): string {
  return name === "" ? String(key) : `${name}.${key}`;
}

function sizesOf(value: Pickled | undefined): number[] | undefined {
  if (!(value instanceof PickledList) || value.items.length > MAX_RANK) return undefined;
  const sizes = value.items.filter(
    (item): item is number => typeof item === "number" && Number.isSafeInteger(item) && item >= 0,
  );
  return sizes.length === value.items.length ? sizes : undefined;
}
