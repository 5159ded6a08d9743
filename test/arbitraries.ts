import fc from "fast-check";
import { type Activation, type Architecture, layoutOf, parameterCount } from "../src/network/architecture.ts";

const size = fc.integer({ min: 1, max: 6 });

/** Small dense networks with 0 to 3 hidden layers, each with an activation of its own. */
export const architectures: fc.Arbitrary<Architecture> = fc
  .record({
    inputs: size,
    hidden: fc.array(fc.record({ units: size, activation: fc.constantFrom<Activation>("relu", "tanh", "none") }), {
      maxLength: 3,
    }),
    outputs: size,
  })
  .map(({ inputs, hidden, outputs }) => ({
    input: [inputs],
    layers: [
      ...hidden.map(({ units, activation }) => ({ kind: "dense" as const, units, activation })),
      { kind: "dense" as const, units: outputs, activation: "none" as const },
    ],
    head: "logits" as const,
  }));

/** A network whose weights are 0 with the given probability; biases never are. */
export function sparseNetworks(
  zeros: number,
): fc.Arbitrary<{ readonly architecture: Architecture; readonly parameters: Float32Array }> {
  return architectures.chain((architecture) => {
    const count = parameterCount(architecture);
    const value = fc.double({ min: 0.1, max: 2, noNaN: true });
    const entry = fc.record({ value, negative: fc.boolean(), zero: fc.double({ min: 0, max: 1, noNaN: true }) });
    return fc.array(entry, { minLength: count, maxLength: count }).map((entries) => {
      const parameters = Float32Array.from(entries, (x) => (x.negative ? -x.value : x.value));
      for (const { weights } of layoutOf(architecture)) {
        for (let i = weights.offset; i < weights.offset + weights.length; i++) {
          if (entries[i]!.zero < zeros) parameters[i] = 0;
        }
      }
      return { architecture, parameters };
    });
  });
}
