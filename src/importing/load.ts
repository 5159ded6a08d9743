import { existsSync } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { basename, extname } from "node:path";
import { FileError, UsageError } from "../errors.ts";
import { readBounded } from "../files.ts";
import type { AnyPolicy, BlackBoxPolicy, Policy } from "../network/policy.ts";
import { decodeSafetensors } from "../safetensors.ts";
import { decodeModel } from "../tensor/onnx-reader.ts";
import { blackBoxFromOnnx } from "./black-box.ts";
import type { ImportOptions } from "./dense-layers.ts";
import { policyFromForeignOnnx } from "./foreign-onnx.ts";
import { anyPolicyFromOnnx, isOwnOnnx, policyFromOnnx } from "./onnx.ts";
import { anyPolicyFromSafetensors, isOwnSafetensors, policyFromSafetensors } from "./policy-safetensors.ts";
import { isSb3, policyFromSb3 } from "./sb3.ts";
import { policyFromStateDict, stateDictOf } from "./state-dict.ts";
import { isTorch, readTorch } from "./torch.ts";
import { ZipArchive } from "./zip.ts";

/** 1 GiB: 268 million parameters. */
const MAX_POLICY_BYTES = 2 ** 30;

/** Kinds of foreign files, as `pops import` names them. */
export type ForeignKind = "sb3" | "torch" | "safetensors" | "onnx";

/**
 * Reads a policy file. PoPS' own are `.safetensors` or `.onnx`, by the extension or, where that is another one, by the content.
 * Foreign ones become policies of dense layers and convolutions: Stable-Baselines3's zip files, PyTorch's state dicts, and safetensors and ONNX files of
 * others, told apart by their content; `options` say what these leave open.
 *
 * @param expected refuse everything else than foreign files of this kind
 * @throws FileError when it is missing, over 1 GiB, of another kind, or malformed
 * @throws UsageError when `options` say something of a file that PoPS wrote, which leaves nothing open
 */
export async function loadPolicy(path: string, options: ImportOptions = {}, expected?: ForeignKind): Promise<Policy> {
  const { kind, read, readAny } = readerOf(await bytesOf(path), path, options);
  if (expected !== undefined && kind !== expected) {
    throw new FileError(path, `is ${names[kind]}, expected ${names[expected]}`);
  }
  try {
    return read();
  } catch (error) {
    if (!(error instanceof FileError) || kind !== "onnx" || !readAny) throw error;
    throw new FileError(
      path,
      `${reasonOf(error, path)}: it is no sequence of convolutions and dense layers, but may be a black-box teacher (pops compress --teacher)`,
      {
        cause: error,
      },
    );
  }
}

/**
 * Reads what can be played and imitated: a policy as `loadPolicy` does, or an ONNX model of others that is no sequence of dense
 * layers, as a black box.
 *
 * @throws FileError, UsageError as `loadPolicy` does; for what a black box may not hold see `blackBoxFromOnnx`
 */
export async function loadTeacher(path: string, options: ImportOptions = {}): Promise<AnyPolicy> {
  const { read, readAny } = readerOf(await bytesOf(path), path, options);
  return readAny ? readAny() : read();
}

/**
 * Whether somebody else wrote the file, so that it may leave open what `ImportOptions` say.
 * @throws FileError as `loadPolicy` does
 */
export async function isForeign(path: string): Promise<boolean> {
  return readerOf(await bytesOf(path), path, {}).kind !== "pops";
}

async function bytesOf(path: string): Promise<Uint8Array> {
  if (await isTfCheckpoint(path)) {
    throw new FileError(path, "is a TensorFlow checkpoint: convert it first with `pops import tf-checkpoint`");
  }
  return readBounded(path, MAX_POLICY_BYTES);
}

/** What an error says beside the path. */
function reasonOf({ message }: FileError, path: string): string {
  return message.startsWith(`${path}: `) ? message.slice(path.length + 2) : message;
}

const names = {
  pops: "a policy that PoPS wrote",
  sb3: "a zip of Stable-Baselines3",
  torch: "a state dict of PyTorch",
  safetensors: "a safetensors file of others",
  onnx: "an ONNX model of others",
} as const;

interface Reader {
  readonly kind: ForeignKind | "pops";
  readonly read: () => Policy;
  /** Where the file may be a black box. */
  readonly readAny?: () => AnyPolicy | Promise<AnyPolicy>;
}

function readerOf(bytes: Uint8Array, path: string, options: ImportOptions): Reader {
  switch (containerOf(bytes, path)) {
    case "safetensors": {
      const file = decodeSafetensors(bytes, path);
      if (isOwnSafetensors(file)) {
        return {
          kind: "pops",
          read: () => leavesNothingOpen(policyFromSafetensors(bytes, path), options, path),
          readAny: () => leavesNothingOpen(anyPolicyFromSafetensors(bytes, path), options, path),
        };
      }
      return {
        kind: "safetensors",
        read: () => policyFromStateDict(stateDictOf(file), options, "safetensors file", path),
      };
    }
    case "onnx": {
      const model = decodeModel(bytes, path);
      if (isOwnOnnx(model)) {
        return {
          kind: "pops",
          read: () => leavesNothingOpen(policyFromOnnx(bytes, path), options, path),
          readAny: () => leavesNothingOpen(anyPolicyFromOnnx(bytes, path), options, path),
        };
      }
      const read = (): Policy => policyFromForeignOnnx(model, path, options);
      const readAny = (): Policy | Promise<BlackBoxPolicy> => {
        try {
          return read();
        } catch (error) {
          if (error instanceof FileError) return blackBoxFromOnnx(bytes, path, options, reasonOf(error, path));
          throw error;
        }
      };
      return { kind: "onnx", read, readAny };
    }
    case "zip": {
      const archive = new ZipArchive(bytes, path);
      if (isSb3(archive)) return { kind: "sb3", read: () => policyFromSb3(bytes, path, options) };
      if (isTorch(archive)) return { kind: "torch", read: () => policyFromTorch(bytes, path, options) };
      throw new FileError(path, `is a zip archive, but neither ${names.sb3} nor ${names.torch}`);
    }
    case "pickle":
      return { kind: "torch", read: () => policyFromTorch(bytes, path, options) };
    case undefined:
      throw new FileError(path, `is no policy file: expected .safetensors, .onnx, ${names.sb3} or ${names.torch}`);
  }
}

function policyFromTorch(bytes: Uint8Array, path: string, options: ImportOptions): Policy {
  return policyFromStateDict(readTorch(bytes, path), options, "PyTorch file", path);
}

/** The environment is no claim about the file: a policy may be played in another one. */
function leavesNothingOpen<P extends AnyPolicy>(policy: P, options: ImportOptions, path: string): P {
  const claim = Object.keys(options).find((key) => key !== "environment");
  if (claim !== undefined) throw new UsageError(claim, `cannot be given for ${path}, which says it itself`);
  return policy;
}

/** A prefix `X` of `X.index`, one of the checkpoint's files, or a folder with one. */
async function isTfCheckpoint(path: string): Promise<boolean> {
  const isIndex = (name: string): boolean => name.endsWith(".index");
  if (/\.(?:index|data-\d{5}-of-\d{5})$/.test(path)) return true;
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) return existsSync(`${path}.index`);
  return found.isDirectory() && (await readdir(path).catch(() => [])).some(isIndex);
}

function containerOf(bytes: Uint8Array, path: string): "safetensors" | "onnx" | "zip" | "pickle" | undefined {
  const extension = extname(basename(path)).toLowerCase();
  if (extension === ".safetensors") return "safetensors";
  if (extension === ".onnx") return "onnx";
  if (bytes[0] === 0x50 && bytes[1] === 0x4b) return "zip";
  // PyTorch before 1.6, which is refused by name.
  if (bytes[0] === 0x80 && [".pt", ".pth"].includes(extension)) return "pickle";
  // The JSON header of safetensors begins at byte 8; an ONNX model begins with its IR version, field 1.
  if (bytes[8] === 0x7b) return "safetensors";
  return bytes[0] === 0x08 ? "onnx" : undefined;
}
