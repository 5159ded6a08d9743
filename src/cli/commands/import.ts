import { extname } from "node:path";
import type { ImportOptions } from "../../importing/dense-layers.ts";
import { type ForeignKind, loadPolicy } from "../../importing/load.ts";
import { readTfCheckpoint } from "../../importing/tf-checkpoint.ts";
import { policyFromTfVariables } from "../../importing/tf-policy.ts";
import { checkFits, countsOf, describe } from "../../network/architecture.ts";
import type { Policy } from "../../network/policy.ts";
import { type ForeignFlags, importOptions } from "../foreign.ts";
import { writePolicy } from "./export.ts";

export interface ImportFlags extends ForeignFlags {
  readonly output: string;
}

export async function importTfCheckpoint(prefix: string, flags: ImportFlags): Promise<void> {
  const options = await importOptions(flags);
  write(policyFromTfVariables(readTfCheckpoint(prefix), options, prefix), options, flags.output);
}

export async function importFile(kind: ForeignKind, file: string, flags: ImportFlags): Promise<void> {
  const options = await importOptions(flags);
  write(await loadPolicy(file, options, kind), options, flags.output);
}

function write(policy: Policy, { environment }: ImportOptions, output: string): void {
  const { architecture, provenance } = policy;
  if (environment) checkFits(architecture, environment);
  process.stdout.write(
    `${describe(architecture)}, ${countsOf(architecture).weights} weights, activations ${architecture.layers.map((layer) => layer.activation).join(", ")}, ${provenance["head"] ?? ""}\n`,
  );
  // What a file rarely says of its convolutions, one wrong word of which would show in the score alone.
  const told = ["images", "strides", "padding", "flatten", "scale"].flatMap((key) => {
    const value = provenance[key];
    return value === undefined ? [] : [`${key} ${value}`];
  });
  if (told.length > 0) process.stdout.write(`  ${told.join(", ")}\n`);
  writePolicy(policy, extname(output).slice(1), output);
}
