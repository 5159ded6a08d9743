import fc from "fast-check";
import { type Activation, type Architecture, layoutOf, parameterCount } from "../src/network/architecture.ts";

const size = fc.integer({ min: 1, max: 6 });
/** Sixteenths: exact in float32, and never the negative zero that JSON has not. */
const sixteenths = (min: number, max: number): fc.Arbitrary<number> =>
  fc.integer({ min: 16 * min, max: 16 * max }).map((x) => x / 16);

/** The network as it is or with statistics, and with its own head or as a Gaussian. */
export function dressed(plain: Architecture): fc.Arbitrary<Architecture> {
  const inputs = plain.input.reduce((product, length) => product * length, 1);
  const outputs = plain.layers.at(-1)!.units;
  const each = (length: number, min: number, max: number): fc.Arbitrary<number[]> =>
    fc.array(sixteenths(min, max), { minLength: length, maxLength: length });
  const normalization = fc.record({
    mean: each(inputs, -4, 4),
    deviation: each(inputs, 0, 4).map((values) => values.map((value) => value + 0.25)),
    clip: sixteenths(1, 10),
  });
  const gaussian = fc
    .record({
      logStd: each(outputs, -2, 2),
      low: each(outputs, -4, 0),
      high: each(outputs, 1, 4),
      squash: fc.option(fc.constant(true as const)),
    })
    .map(({ squash, ...density }) => ({ ...density, ...(squash && { squash }) }));
  return fc.record({ statistics: fc.option(normalization), density: fc.option(gaussian) }).map(
    ({ statistics, density }): Architecture => ({
      ...plain,
      ...(statistics && { normalization: statistics }),
      ...(density && { head: "gaussian", gaussian: density }),
    }),
  );
}

/** Small dense networks with 0 to 3 hidden layers, each with an activation of its own, with and without statistics and a Gaussian. */
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
  }))
  .chain(dressed);

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
