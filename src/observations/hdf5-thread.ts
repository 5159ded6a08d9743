import { parentPort } from "node:worker_threads";
import { Dataset, File, Group, ready } from "h5wasm";
import { z } from "zod";
import { FileError, reasonOf } from "../errors.ts";
import { decodeNumbers, isReadable, type NumberType } from "../importing/numbers.ts";
import { elementsOf } from "../shape.ts";
import { floatsOf, type NamedArray, OBSERVATIONS, type Recorded, recordedIn } from "./arrays.ts";
import { MAX_DIMENSIONS, MAX_ELEMENTS, MAX_ROWS } from "./limits.ts";

export interface Hdf5Request {
  readonly bytes: Uint8Array;
  /** For messages. */
  readonly path: string;
  readonly key: string | undefined;
}

export type Hdf5Reply =
  | { readonly recorded: Recorded }
  /** Without the path. `spoiled`: the library cannot be used any more. */
  | { readonly refused: string; readonly spoiled: boolean };

/** Classes of types, as the library numbers them. */
const KINDS: Readonly<Record<number, "int" | "float">> = { 0: "int", 1: "float", 8: "int" };

const metadataSchema = z.object({
  type: z.number(),
  size: z.number().int().min(1),
  signed: z.boolean(),
  shape: z.array(z.number().int().min(0)).max(MAX_DIMENSIONS).nullable(),
});

/** What is copied out of the library at once. */
const CHUNK_BYTES = 2 ** 26;

type Module = Awaited<typeof ready>;

function arrayOf(module: Module, dataset: Dataset, name: string, path: string): NamedArray {
  const refuse = (what: string): never => {
    throw new FileError(path, `array ${JSON.stringify(name)} ${what}`);
  };
  const parsed = metadataSchema.safeParse(dataset.metadata);
  if (!parsed.success) return refuse("has a shape or a type beyond all bounds");
  const { size, signed } = parsed.data;
  const shape = parsed.data.shape ?? [];
  const kind = KINDS[parsed.data.type];
  const type = { kind: kind === "int" && !signed ? "uint" : kind, bytes: size, littleEndian: true };
  return {
    name,
    shape,
    floating: kind === "float",
    read: (into) => {
      if (type.kind === undefined || !isReadable(type as NumberType)) refuse("holds no numbers that are read");
      const [rows = 1, ...rest] = shape;
      const rowBytes = elementsOf(rest) * size;
      const step = Math.max(1, Math.floor(CHUNK_BYTES / rowBytes));
      const pointer = module._malloc(Math.min(step, rows) * rowBytes);
      if (pointer === 0) refuse("does not fit into memory");
      try {
        for (let row = 0; row < rows; row += step) {
          const count = [Math.min(step, rows - row), ...rest].map(BigInt);
          const offset = [row, ...rest.map(() => 0)].map(BigInt);
          const strides = shape.map(() => 1n);
          const status = module.get_dataset_data(
            dataset.file_id,
            dataset.path,
            count,
            offset,
            strides,
            BigInt(pointer),
          );
          if (status < 0) refuse("cannot be read: it is damaged, or compressed in another way than by gzip");
          const bytes = Number(count[0]) * rowBytes;
          const numbers = module.HEAPU8.subarray(pointer, pointer + bytes);
          const from = (row * rowBytes) / size;
          decodeNumbers(numbers, type as NumberType, into.subarray(from, from + bytes / size));
        }
      } finally {
        module._free(pointer);
      }
      return into;
    },
  };
}

const EPISODE = /^episode_(\d{1,9})$/;

/** The arrays of a group that `names` tells of; links into other files are none. */
function arraysOf(module: Module, group: Group, names: readonly string[], path: string): NamedArray[] {
  return names.flatMap((name) => {
    const found = group.get(name);
    return found instanceof Dataset ? [arrayOf(module, found, name, path)] : [];
  });
}

/** Minari's form: a group an episode, with one observation more than there are actions. Nobody acts on the last. */
function episodesIn(
  module: Module,
  file: File,
  episodes: readonly string[],
  key: string | undefined,
  path: string,
): Recorded {
  const parts = episodes.map((episode) => {
    const group = file.get(episode);
    const [array] =
      group instanceof Group ? arraysOf(module, group, key === undefined ? OBSERVATIONS : [key], path) : [];
    if (!array || array.shape.length === 0) {
      const wanted = key ?? "observations";
      const why = group instanceof Group ? "" : " (episodes in other files are not read)";
      throw new FileError(
        path,
        `group ${episode} has no array ${JSON.stringify(wanted)}${why}: name one with --observations-key`,
      );
    }
    return array;
  });
  const shapeOf = ({ shape }: NamedArray): readonly number[] => (shape.length === 1 ? [1] : shape.slice(1));
  const shape = parts[0] ? shapeOf(parts[0]) : [];
  const total = parts.reduce((sum, part) => sum + elementsOf(part.shape), 0);
  if (total > MAX_ELEMENTS) throw new FileError(path, `has more than the ${MAX_ELEMENTS} numbers that are read`);
  const rows = parts.reduce((sum, part) => sum + (part.shape[0] ?? 0), 0);
  if (rows > MAX_ROWS) throw new FileError(path, `has more than the ${MAX_ROWS} observations that are read`);
  const observations = new Float32Array(total);
  const numbers = new Int32Array(rows);
  let acts = 0;
  let filled = 0;
  let number = 0;
  for (const [k, part] of parts.entries()) {
    if (shapeOf(part).join() !== shape.join()) {
      throw new FileError(
        path,
        `group ${episodes[k] ?? ""} has observations of shape [${shapeOf(part).join(", ")}], others [${shape.join(", ")}]`,
      );
    }
    const acted = (part.shape[0] ?? 0) - 1;
    if (acted < 1) continue;
    const numbersHere = floatsOf(part, path).subarray(0, acted * elementsOf(shape));
    observations.set(numbersHere, filled);
    filled += numbersHere.length;
    numbers.fill(number, acts, acts + acted);
    acts += acted;
    number++;
  }
  return { shape, observations: observations.slice(0, filled), episodes: numbers.slice(0, acts) };
}

function recordedOf(module: Module, { bytes, path, key }: Hdf5Request): Recorded {
  module.FS.writeFile("/file", bytes);
  const file = new File("/file", "r");
  try {
    const names = file.keys();
    const episodes = names.filter((name) => EPISODE.test(name));
    const order = (name: string): number => Number(EPISODE.exec(name)?.[1]);
    if (episodes.length > 0) {
      return episodesIn(
        module,
        file,
        episodes.sort((a, b) => order(a) - order(b)),
        key,
        path,
      );
    }
    const others = key === undefined || names.includes(key) ? [] : [key];
    return recordedIn(arraysOf(module, file, [...names, ...others], path), key, path);
  } finally {
    file.close();
    module.FS.unlink("/file");
  }
}

if (parentPort) {
  const port = parentPort;
  const module = await ready;
  port.on("message", (request: Hdf5Request) => {
    let reply: Hdf5Reply;
    try {
      reply = { recorded: recordedOf(module, request) };
    } catch (error) {
      const own = error instanceof FileError;
      const why = own ? error.message.slice(`${request.path}: `.length) : `cannot be read as HDF5: ${reasonOf(error)}`;
      reply = { refused: why, spoiled: error instanceof Error && error.name === "RuntimeError" };
    }
    port.postMessage(reply);
  });
  port.postMessage("ready");
}
