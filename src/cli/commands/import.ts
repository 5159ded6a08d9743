import { extname } from "node:path";
import { z } from "zod";
import { UsageError } from "../../errors.ts";
import { readTfCheckpoint } from "../../importing/tf-checkpoint.ts";
import { policyFromTfVariables } from "../../importing/tf-policy.ts";
import { architectureSchema, checkFits, countsOf, describe } from "../../network/architecture.ts";
import { knownEnvironment } from "../environment.ts";
import { writePolicy } from "./export.ts";

const activationsSchema = z.array(z.enum(["relu", "tanh", "none"]));

export interface ImportFlags {
  readonly output: string;
  readonly layers?: readonly string[];
  readonly activations?: readonly string[];
  readonly head: string;
  readonly env?: string;
}

export async function importTfCheckpoint(prefix: string, flags: ImportFlags): Promise<void> {
  const head = architectureSchema.shape.head.safeParse(flags.head);
  if (!head.success) throw new UsageError("--head", `"${flags.head}" is neither q-values nor logits`);
  const activations = activationsSchema.optional().safeParse(flags.activations);
  if (!activations.success) throw new UsageError("--activations", "is a list of relu, tanh and none, by commas");
  const known = flags.env === undefined ? undefined : await knownEnvironment(flags.env, {});
  const policy = policyFromTfVariables(
    readTfCheckpoint(prefix),
    {
      head: head.data,
      ...(flags.layers && { layers: flags.layers }),
      ...(activations.data && { activations: activations.data }),
      ...(flags.env !== undefined && { environment: flags.env }),
    },
    prefix,
  );
  if (known) checkFits(policy.architecture, known.spec);
  const { architecture } = policy;
  process.stdout.write(
    `${describe(architecture)}, ${countsOf(architecture).weights} weights, activations ${architecture.layers.map((layer) => layer.activation).join(", ")}\n`,
  );
  writePolicy(policy, extname(flags.output).slice(1), flags.output);
}
