import fc from "fast-check";
import { type Architecture, architectureSchema, type Layer, parameterCount } from "../../src/network/architecture.ts";
import { stream } from "../../src/random/pcg64.ts";
import { activation, convolution, convolutional, dressed, pair } from "../arbitraries.ts";

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

/** Convolutions that are products of matrices: many filters first, in windows of one or two blocks; any others behind them. */
export const manyFilters: fc.Arbitrary<Architecture> = fc
  .record({
    channels: fc.integer({ min: 1, max: 3 }),
    stride: pair(3).map(([down, across]): [number, number] => [down, across + 1]),
    blocks: pair(2),
    more: pair(3),
    units: fc.integer({ min: 16, max: 18 }),
    first: activation,
    convolutions: fc.array(convolution, { maxLength: 2 }),
    hidden: fc.array(fc.record({ units: fc.integer({ min: 1, max: 6 }), activation }), { maxLength: 1 }),
  })
  .map(({ channels, stride, blocks, more, units, first, convolutions, hidden }): Architecture => {
    const times = (factors: readonly [number, number]): [number, number] => [
      factors[0] * stride[0],
      factors[1] * stride[1],
    ];
    return {
      input: [channels, ...times([blocks[0] + more[0], blocks[1] + more[1]])],
      layers: [
        { kind: "conv", units, kernel: times(blocks), stride, activation: first },
        ...convolutions,
        ...hidden.map((layer): Layer => ({ kind: "dense", ...layer })),
        { kind: "dense", units: 3, activation: "none" },
      ],
      head: "logits",
    };
  })
  .filter((architecture) => architectureSchema.safeParse(architecture).success)
  .chain(dressed);

/** Architectures of every kind that the schema allows, small ones. */
export const architectures: fc.Arbitrary<Architecture> = fc.oneof(dense, convolutional, manyFilters);

/** Normal numbers for all parameters, biases too. */
export function randomParameters(architecture: Architecture, seed: number): Float32Array {
  const random = stream(seed, "parameters");
  return Float32Array.from({ length: parameterCount(architecture) }, () => random.normal());
}
