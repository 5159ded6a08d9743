import { extname } from "node:path";
import { UsageError } from "../../errors.ts";
import type { ImportOptions } from "../../importing/dense-layers.ts";
import { type ForeignKind, loadPolicy } from "../../importing/load.ts";
import { readTfCheckpoint } from "../../importing/tf-checkpoint.ts";
import { policyFromTfVariables } from "../../importing/tf-policy.ts";
import { checkFits, countsOf, describe } from "../../network/architecture.ts";
import type { Policy } from "../../network/policy.ts";
import { knownEnvironment, wordsOf } from "../environment.ts";
import { type ForeignFlags, importOptions } from "../foreign.ts";
import { printable } from "../terminal.ts";
import { writePolicy } from "./export.ts";

export interface ImportFlags extends ForeignFlags {
  readonly output: string;
}

export function importTfCheckpoint(prefix: string, flags: ImportFlags): Promise<void> {
  return importPolicy(flags, (options) => policyFromTfVariables(readTfCheckpoint(prefix), options, prefix));
}

export function importFile(kind: ForeignKind, file: string, flags: ImportFlags): Promise<void> {
  return importPolicy(flags, (options) => loadPolicy(file, options, kind));
}

async function importPolicy(
  flags: ImportFlags,
  read: (options: ImportOptions) => Policy | Promise<Policy>,
): Promise<void> {
  const format = extname(flags.output).slice(1);
  if (format !== "safetensors" && format !== "onnx") {
    throw new UsageError("--output", `${flags.output} is to be a policy file: name it .safetensors or .onnx`);
  }
  const known = flags.env === undefined ? undefined : await knownEnvironment(flags.env, flags);
  const policy = await read(importOptions(flags, known?.spec));
  const { architecture, provenance } = policy;
  if (known) checkFits(architecture, known.spec);
  process.stdout.write(
    `${describe(architecture)}, ${countsOf(architecture).weights} weights, activations ${architecture.layers.map((layer) => layer.activation).join(", ")}, ${printable(provenance["head"] ?? "")}\n`,
  );
  // What a file rarely says of its convolutions, one wrong word of which would show in the score alone, and what is lost.
  const told = ["images", "strides", "padding", "flatten", "scale", "interface"].flatMap((key) => {
    const value = provenance[key];
    return value === undefined ? [] : [`${key} ${value}`];
  });
  if (told.length > 0) process.stdout.write(`  ${printable(told.join(", "))}\n`);
  await writePolicy({ ...policy, ...wordsOf(known?.gymnasium) }, format, flags.output);
}
