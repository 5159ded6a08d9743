import fc from "fast-check";
import { type Architecture, parameterCount } from "../../src/network/architecture.ts";
import { stream } from "../../src/random/pcg64.ts";
import { convolutional, dressed } from "../arbitraries.ts";

const dense: fc.Arbitrary<Architecture> = fc
  .record({
    input: fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 3 }),
    layers: fc.array(
      fc.record({
        kind: fc.constant("dense" as const),
        units: fc.integer({ min: 1, max: 20 }),
        activation: fc.constantFrom("relu" as const, "tanh" as const, "none" as const),
      }),
      { minLength: 1, maxLength: 5 },
    ),
    head: fc.constantFrom("q-values" as const, "logits" as const),
  })
  .chain(dressed);

/** Architectures of every kind that the schema allows, small ones. */
export const architectures: fc.Arbitrary<Architecture> = fc.oneof(dense, convolutional);

/** Normal numbers for all parameters, biases too. */
export function randomParameters(architecture: Architecture, seed: number): Float32Array {
  const random = stream(seed, "parameters");
  return Float32Array.from({ length: parameterCount(architecture) }, () => random.normal());
}
