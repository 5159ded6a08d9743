import { existsSync } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { basename, extname } from "node:path";
import { FileError } from "../errors.ts";
import { readBounded } from "../files.ts";
import type { Policy } from "../network/policy.ts";
import { policyFromOnnx } from "./onnx.ts";
import { policyFromSafetensors } from "./policy-safetensors.ts";

/** 1 GiB: 268 million parameters. */
const MAX_POLICY_BYTES = 2 ** 30;

/**
 * Reads a policy file of PoPS: `.safetensors` or `.onnx`, by the extension or, where that is another one, by the content.
 *
 * @throws FileError when it is missing, over 1 GiB, of another kind, or malformed
 */
export async function loadPolicy(path: string): Promise<Policy> {
  if (await isTfCheckpoint(path)) {
    throw new FileError(path, "is a TensorFlow checkpoint: convert it first with `pops import tf-checkpoint`");
  }
  const bytes = readBounded(path, MAX_POLICY_BYTES);
  switch (kindOf(bytes, path)) {
    case "safetensors":
      return policyFromSafetensors(bytes, path);
    case "onnx":
      return policyFromOnnx(bytes, path);
    case undefined:
      throw new FileError(path, "is no policy file: expected .safetensors or .onnx that PoPS wrote");
  }
}

/** A prefix `X` of `X.index`, one of the checkpoint's files, or a folder with one. */
async function isTfCheckpoint(path: string): Promise<boolean> {
  const isIndex = (name: string): boolean => name.endsWith(".index");
  if (/\.(?:index|data-\d{5}-of-\d{5})$/.test(path)) return true;
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) return existsSync(`${path}.index`);
  return found.isDirectory() && (await readdir(path).catch(() => [])).some(isIndex);
}

function kindOf(bytes: Uint8Array, path: string): "safetensors" | "onnx" | undefined {
  const extension = extname(basename(path)).toLowerCase();
  if (extension === ".safetensors") return "safetensors";
  if (extension === ".onnx") return "onnx";
  // The JSON header of safetensors begins at byte 8; an ONNX model begins with its IR version, field 1.
  if (bytes[8] === 0x7b) return "safetensors";
  return bytes[0] === 0x08 ? "onnx" : undefined;
}
