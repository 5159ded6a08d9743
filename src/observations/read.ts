import { extname } from "node:path";
import { FileError, UsageError } from "../errors.ts";
import { readBounded } from "../files.ts";
import { ZipArchive } from "../importing/zip.ts";
import { decodeSafetensors } from "../safetensors.ts";
import { sha256 } from "../seal.ts";
import { elementsOf } from "../shape.ts";
import { type NamedArray, type Recorded, recordedIn } from "./arrays.ts";
import { isHdf5, readHdf5 } from "./hdf5.ts";
import { FREE_ARCHIVE_BYTES, MAX_FILE_BYTES } from "./limits.ts";
import { LEAST_OBSERVATIONS, logOf, type ObservationLog } from "./log.ts";
import { isNpy, npyArray, npzArrays } from "./npy.ts";
import { readCsv, readJsonl } from "./text.ts";

/**
 * Reads logged observations: `.npy` and `.npz` of numpy, safetensors, HDF5 of Minari or D4RL, JSON lines or CSV, told apart by
 * their content where it says so and by their extension else. Nothing in them is executed. docs/files.md has the names of arrays.
 *
 * @param key name of the array of observations, where it is none of the usual ones
 * @throws FileError when the file is missing, over 1 GiB, malformed, holds numbers that are not finite, or fewer than 1,000 observations
 */
export async function readObservations(path: string, key?: string): Promise<ObservationLog> {
  const bytes = readBounded(path, MAX_FILE_BYTES);
  const digest = sha256(bytes);
  const { shape, observations, episodes } = await recordedOf(bytes, path, key);
  const width = elementsOf(shape);
  const rows = observations.length / width;
  const bad = observations.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) {
    throw new FileError(
      path,
      `observation ${Math.floor(bad / width)} has ${observations[bad]}, expected finite numbers`,
    );
  }
  if (rows < LEAST_OBSERVATIONS) {
    throw new FileError(path, `holds ${rows} observations, at least ${LEAST_OBSERVATIONS} are needed`);
  }
  return logOf(shape, observations, episodes, digest);
}

function recordedOf(bytes: Uint8Array, path: string, key: string | undefined): Recorded | Promise<Recorded> {
  if (isHdf5(bytes)) return readHdf5(bytes, path, key);
  if (bytes[0] === 0x50 && bytes[1] === 0x4b)
    return recordedIn(npzArrays(new ZipArchive(bytes, path, FREE_ARCHIVE_BYTES), path), key, path);
  const extension = extname(path).toLowerCase();
  const [, single] = Object.entries(singles).find(([, { has }]) => has(bytes, extension)) ?? [];
  if (single) {
    if (key !== undefined) throw new UsageError("--observations-key", `${path} has no names of arrays to choose from`);
    return single.read(bytes, path);
  }
  if (extension === ".safetensors" || bytes[8] === 0x7b) return recordedIn(tensorsOf(bytes, path), key, path);
  throw new FileError(path, "is no file of observations: expected .npz, .npy, .safetensors, .hdf5, .jsonl or .csv");
}

/** Files of one array. */
const singles: Readonly<
  Record<
    string,
    { has: (bytes: Uint8Array, extension: string) => boolean; read: (bytes: Uint8Array, path: string) => Recorded }
  >
> = {
  npy: { has: isNpy, read: (bytes, path) => recordedIn([npyArray(bytes, "observations", path)], undefined, path) },
  jsonl: { has: (_, extension) => [".jsonl", ".ndjson"].includes(extension), read: readJsonl },
  csv: { has: (_, extension) => [".csv", ".tsv"].includes(extension), read: readCsv },
};

/** The tensors of a safetensors file. */
export function tensorsOf(bytes: Uint8Array, path: string): NamedArray[] {
  return [...decodeSafetensors(bytes, path).tensors].map(([name, { shape, data, dtype }]) => ({
    name,
    shape,
    floating: dtype.startsWith("F"),
    read: (into) => {
      into.set(data);
      return into;
    },
  }));
}
