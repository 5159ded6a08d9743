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
/** `2`, or `2x1` for height and width. */
const strideSchema = z
  .string()
  .regex(/^[1-9]\d{0,2}(x[1-9]\d{0,2})?$/)
  .transform((text) => {
    const [height = 1, width = height] = text.split("x").map(Number);
    return [height, width] as const;
  });
const stridesSchema = z.array(strideSchema).optional();
const zeros = z
  .string()
  .regex(/^\d{1,3}$/)
  .transform(Number);
const paddingSchema = z.array(z.union([z.literal("same"), zeros])).optional();
const flattenSchema = z.enum(["chw", "hwc"]).optional();

/** What a command line says of a foreign file. */
export interface ForeignFlags extends EnvironmentFlags {
  readonly layers?: readonly string[];
  readonly activations?: readonly string[];
  readonly head?: string;
  readonly squash?: boolean;
  readonly strides?: readonly string[];
  readonly padding?: readonly string[];
  readonly flatten?: string;
  readonly scale?: number;
  readonly vecNormalize?: string;
  readonly env?: string;
}

/** Checks the flags and reads the statistics that they name. `environment` is that of `--env`, if it is given. */
export function importOptions(flags: ForeignFlags, environment: EnvironmentSpec | undefined): ImportOptions {
  const head = architectureSchema.shape.head.optional().safeParse(flags.head);
  if (!head.success) throw new UsageError("--head", `"${flags.head}" is neither q-values, logits nor gaussian`);
  const activations = activationsSchema.safeParse(flags.activations);
  if (!activations.success) throw new UsageError("--activations", "is a list of relu, tanh and none, by commas");
  const strides = stridesSchema.safeParse(flags.strides);
  if (!strides.success)
    throw new UsageError("--strides", "is a list of numbers from 1, or of heights and widths (2x1)");
  const padding = paddingSchema.safeParse(flags.padding);
  if (!padding.success) throw new UsageError("--padding", "is a list of numbers from 0, or same, by commas");
  const flatten = flattenSchema.safeParse(flags.flatten);
  if (!flatten.success) throw new UsageError("--flatten", `"${flags.flatten}" is neither chw nor hwc`);
  const { layers, squash, scale, vecNormalize } = flags;
  return {
    ...(layers && { layers }),
    ...(activations.data && { activations: activations.data }),
    ...(head.data && { head: head.data }),
    ...(squash && { squash }),
    ...(strides.data && { strides: strides.data }),
    ...(padding.data && { padding: padding.data }),
    ...(flatten.data && { flatten: flatten.data }),
    ...(scale !== undefined && { scale }),
    ...(environment && { environment }),
    ...(vecNormalize !== undefined && {
      statistics: {
        normalization: readVecNormalize(readBounded(vecNormalize, MAX_STATISTICS_BYTES), vecNormalize),
        source: basename(vecNormalize),
      },
    }),
  };
}
