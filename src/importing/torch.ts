import { FileError } from "../errors.ts";
import { type Pickled, PickledDict, PickledGlobal, PickledList, PickledObject, readPickle } from "./pickle.ts";
import { ZipArchive } from "./zip.ts";

/** A tensor of a PyTorch file, row-major and widened to float32. */
export interface TorchTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** 1 GiB: 268 million parameters. */
const MAX_ENTRY_BYTES = 2 ** 30;
const MAX_TENSORS = 100_000;

const REBUILD = "torch._utils._rebuild_tensor_v2";
const PARAMETER = "torch._utils._rebuild_parameter";
const ORDERED = "collections.OrderedDict";

/** Storages by their class, with bytes an element and how to read one. */
const STORAGES: Readonly<Record<string, { bytes: number; read: (view: DataView, at: number) => number }>> = {
  "torch.FloatStorage": { bytes: 4, read: (view, at) => view.getFloat32(at, true) },
  "torch.DoubleStorage": { bytes: 8, read: (view, at) => view.getFloat64(at, true) },
  "torch.LongStorage": { bytes: 8, read: (view, at) => Number(view.getBigInt64(at, true)) },
  "torch.IntStorage": { bytes: 4, read: (view, at) => view.getInt32(at, true) },
  "torch.ByteStorage": { bytes: 1, read: (view, at) => view.getUint8(at) },
  "torch.BoolStorage": { bytes: 1, read: (view, at) => view.getUint8(at) },
};

const allowed = new Set([REBUILD, PARAMETER, ORDERED, ...Object.keys(STORAGES)]);

/**
 * The tensors of a PyTorch file (`torch.save` of a state dict, zip format, PyTorch 1.6 and later) by name. Nothing is
 * executed: the pickle inside is read by an interpreter that knows tensors and dictionaries only. Nested dictionaries join
 * their names by dots; entries that are no tensors are left out.
 * @throws FileError when it is another format, damaged, or needs anything else than tensors
 */
export function readTorch(bytes: Uint8Array, path: string): Map<string, TorchTensor> {
  if (bytes[0] === 0x80) {
    throw new FileError(
      path,
      "is a PyTorch file of the old format (before 1.6): save it again with torch.save(model.state_dict(), path)",
    );
  }
  const archive = new ZipArchive(bytes, path, MAX_ENTRY_BYTES);
  const pickleName = archive.names.find((name) => /^[^/]+\/data\.pkl$/.test(name));
  const pickle = pickleName === undefined ? undefined : archive.read(pickleName);
  if (pickleName === undefined || pickle === undefined) {
    const isScript = archive.names.some((name) => name.includes("/code/"));
    const what = isScript ? "TorchScript" : "no PyTorch file: it has no data.pkl";
    throw new FileError(path, `is ${what}; expected a state dict, torch.save(model.state_dict(), path)`);
  }
  const folder = pickleName.slice(0, -"data.pkl".length);
  const order = archive.read(`${folder}byteorder`);
  if (order !== undefined && new TextDecoder().decode(order).trim() !== "little") {
    throw new FileError(path, "holds big-endian numbers, expected little-endian ones");
  }
  const reader = new TensorReader(archive, folder, path);
  const root = readPickle(pickle, path, { allowed, persistent: (id) => reader.reference(id) });
  const tensors = new Map<string, TorchTensor>();
  reader.gather(root, "", tensors, 0);
  if (tensors.size === 0) throw new FileError(path, "holds no tensors: expected a state dict");
  return tensors;
}

class TensorReader {
  readonly #archive: ZipArchive;
  readonly #folder: string;
  readonly #path: string;
  /** Elements of all tensors so far: views that share a storage must not multiply it without limit. */
  #elements = 0;

  constructor(archive: ZipArchive, folder: string, path: string) {
    this.#archive = archive;
    this.#folder = folder;
    this.#path = path;
  }

  /** A storage reference stands for itself until a tensor needs it. */
  reference(id: readonly Pickled[]): Pickled {
    const [kind, type, key] = id;
    if (kind !== "storage" || !(type instanceof PickledGlobal) || typeof key !== "string" || !/^\d+$/.test(key)) {
      throw new FileError(this.#path, "refers to something that is no storage of it");
    }
    return new PickledObject(type.name, [key]);
  }

  gather(value: Pickled, name: string, into: Map<string, TorchTensor>, depth: number): void {
    if (depth > 20) throw new FileError(this.#path, "nests dictionaries deeper than 20 levels");
    if (into.size > MAX_TENSORS) throw new FileError(this.#path, `holds more than ${MAX_TENSORS} tensors`);
    const entries = value instanceof PickledObject && value.name === ORDERED ? value.items : value;
    if (entries instanceof PickledDict) {
      for (const [key, inner] of entries.entries) {
        // `_metadata` of a module's state dict holds versions.
        if (key !== "_metadata") this.gather(inner, name === "" ? String(key) : `${name}.${key}`, into, depth + 1);
      }
    } else if (value instanceof PickledObject && value.name === PARAMETER) {
      this.gather(value.args[0] ?? null, name, into, depth + 1);
    } else if (value instanceof PickledObject && value.name === REBUILD) {
      into.set(name, this.#tensor(name, value.args));
    }
  }

  #tensor(name: string, args: readonly Pickled[]): TorchTensor {
    const [storage, offset, size, stride] = args;
    const format = storage instanceof PickledObject ? STORAGES[storage.name] : undefined;
    const shape = this.#sizes(size);
    const strides = this.#sizes(stride);
    if (
      format === undefined ||
      !(storage instanceof PickledObject) ||
      typeof offset !== "number" ||
      !shape ||
      !strides
    ) {
      this.#fail(name, "is no dense tensor of numbers");
    }
    const key = String(storage.args[0]);
    const raw = this.#archive.read(`${this.#folder}data/${key}`);
    if (raw === undefined) this.#fail(name, `needs storage ${key}, which is missing`);
    const held = Math.floor(raw.length / format.bytes);
    const elements = shape.reduce((product, length) => product * length, 1);
    const last = shape.reduce((at, length, axis) => at + Math.max(0, length - 1) * (strides[axis] ?? 0), offset);
    if (shape.length !== strides.length || offset < 0 || (elements > 0 && last >= held)) {
      this.#fail(name, `reaches beyond its storage of ${held} numbers`);
    }
    this.#elements += elements;
    if (this.#elements * 4 > MAX_ENTRY_BYTES) this.#fail(name, `is too much: over ${MAX_ENTRY_BYTES} bytes in all`);
    const view = new DataView(raw.buffer, raw.byteOffset, raw.length);
    const data = new Float32Array(elements);
    const index = new Array<number>(shape.length).fill(0);
    for (let i = 0; i < elements; i++) {
      const at = index.reduce((sum, step, axis) => sum + step * strides[axis]!, offset);
      data[i] = format.read(view, at * format.bytes);
      for (let axis = shape.length - 1; axis >= 0; axis--) {
        index[axis]!++;
        if (index[axis]! < shape[axis]!) break;
        index[axis] = 0;
      }
    }
    return { shape, data };
  }

  #sizes(value: Pickled | undefined): number[] | undefined {
    if (!(value instanceof PickledList) || value.items.length > 8) return undefined;
    const sizes = value.items.filter(
      (item): item is number => typeof item === "number" && Number.isInteger(item) && item >= 0,
    );
    return sizes.length === value.items.length ? sizes : undefined;
  }

  #fail(name: string, what: string): never {
    throw new FileError(this.#path, `tensor ${JSON.stringify(name)} ${what}`);
  }
}
