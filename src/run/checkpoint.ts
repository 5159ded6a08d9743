import { z } from "zod";
import { FileError, reasonOf } from "../errors.ts";
import type { Plain } from "../plain.ts";
import { decodeSafetensors, encodeSafetensors } from "../safetensors.ts";
import { checkSeal, NO_DIGEST, seal } from "../seal.ts";
import { parseJson } from "./json.ts";
import { decodeTree, encodeTree } from "./tree.ts";

/** Raised when a state of the same program would be written differently. */
const VERSION = "1";
const FORMAT = "pops-checkpoint";

const count = z.number().int().min(0);

const headerSchema = z.strictObject({
  /** SHA-256 of the configuration's text, hexadecimal. */
  config: z.string(),
  /** Version of the program that took the checkpoint. */
  program: z.string(),
  /** Bytes of each log that belong to it. */
  lengths: z.strictObject({ events: count, tensorboard: count }),
  /** Wall-clock seconds spent in each stage so far. */
  seconds: z.record(z.string(), z.number()),
  /** The stage that the algorithm is in. */
  stage: z.string().nullable(),
});

/** What a checkpoint holds beside the algorithm's state. */
export type CheckpointHeader = z.infer<typeof headerSchema>;

/**
 * A checkpoint as a safetensors file: each typed array of the state is a tensor, the rest JSON in the metadata. The
 * metadata's `sha256` is that of the whole file with 64 zeros in its place.
 *
 * @throws NumericError, ShapeError when the state is not plain data
 */
export function encodeState(state: Plain, header: CheckpointHeader): Uint8Array {
  const { json, arrays } = encodeTree(state);
  const tensors = new Map(arrays.map((data, index) => [String(index), { shape: [data.length], data }]));
  const bytes = encodeSafetensors(tensors, {
    format: FORMAT,
    version: VERSION,
    header: JSON.stringify(header),
    state: json,
    sha256: NO_DIGEST,
  });
  const at = digestOffset(bytes);
  if (at === undefined) throw new Error("encodeSafetensors wrote no metadata");
  seal(bytes, at);
  return bytes;
}

/**
 * The state and header of a checkpoint's bytes, read from `path`.
 *
 * @throws FileError when a single bit is not as it was written, or another version wrote it
 */
export function decodeState(bytes: Uint8Array, path: string): { state: Plain; header: CheckpointHeader } {
  const at = digestOffset(bytes);
  if (at === undefined) throw new FileError(path, "is not a checkpoint: it has no sha256 entry");
  const stated = Buffer.from(bytes.subarray(at, at + NO_DIGEST.length)).toString("latin1");
  checkSeal(bytes, at, stated, path);
  const { tensors, metadata } = decodeSafetensors(bytes, path);
  const { format = "file", version = "?", header = "", state = "" } = metadata;
  if (format !== FORMAT || version !== VERSION) {
    throw new FileError(
      path,
      `is a ${format} of version ${version}, expected ${FORMAT} ${VERSION}: go on with the program that wrote it`,
    );
  }
  const parsed = parseJson(header, headerSchema, path, "the header");
  try {
    return {
      state: decodeTree(
        state,
        [...tensors.values()].map(({ data }) => data),
      ),
      header: parsed,
    };
  } catch (error) {
    throw new FileError(path, `its state is malformed: ${reasonOf(error)}`, { cause: error });
  }
}

/**
 * Where the digest stands in a file. Inside metadata values quotes are escaped, so its key cannot appear in the state.
 */
function digestOffset(bytes: Uint8Array): number | undefined {
  const key = '"sha256":"';
  const at = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).indexOf(key);
  return at < 0 || at + key.length + NO_DIGEST.length > bytes.length ? undefined : at + key.length;
}
