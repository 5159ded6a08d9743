import { basename } from "node:path";
import { z } from "zod";
import type { EnvironmentSpec } from "../environment/environment.ts";
import { UsageError } from "../errors.ts";
import { readBounded } from "../files.ts";
import type { ImportOptions } from "../importing/dense-layers.ts";
import { readVecNormalize } from "../importing/vec-normalize.ts";
import { architectureSchema } from "../network/architecture.ts";
import type { EnvironmentFlags } from "./environment.ts";

const MAX_STATISTICS_BYTES = 2 ** 26;
const activationsSchema = z.array(z.enum(["relu", "tanh", "none"])).optional();

/** What a command line says of a foreign file. */
export interface ForeignFlags extends EnvironmentFlags {
  readonly layers?: readonly string[];
  readonly activations?: readonly string[];
  readonly head?: string;
  readonly squash?: boolean;
  readonly vecNormalize?: string;
  readonly env?: string;
}

/** Checks the flags and reads the statistics that they name. `environment` is that of `--env`, if it is given. */
export function importOptions(flags: ForeignFlags, environment: EnvironmentSpec | undefined): ImportOptions {
  const head = architectureSchema.shape.head.optional().safeParse(flags.head);
  if (!head.success) throw new UsageError("--head", `"${flags.head}" is neither q-values, logits nor gaussian`);
  const activations = activationsSchema.safeParse(flags.activations);
  if (!activations.success) throw new UsageError("--activations", "is a list of relu, tanh and none, by commas");
  const { layers, squash, vecNormalize } = flags;
  return {
    ...(layers && { layers }),
    ...(activations.data && { activations: activations.data }),
    ...(head.data && { head: head.data }),
    ...(squash && { squash }),
    ...(environment && { environment }),
    ...(vecNormalize !== undefined && {
      statistics: {
        normalization: readVecNormalize(readBounded(vecNormalize, MAX_STATISTICS_BYTES), vecNormalize),
        source: basename(vecNormalize),
      },
    }),
  };
}
