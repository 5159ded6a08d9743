import fc from "fast-check";
import {
  type Activation,
  type Architecture,
  architectureSchema,
  type Convolution,
  type Layer,
  layoutOf,
  parameterCount,
} from "../src/network/architecture.ts";

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
  const statistics = (length: number) => ({
    mean: each(length, -4, 4),
    deviation: each(length, 0, 4).map((values) => values.map((value) => value + 0.25)),
  });
  const normalization = fc.oneof(
    fc.record({ ...statistics(inputs), clip: sixteenths(1, 10) }),
    // One number for all, without a limit, as of pixels.
    fc.record(statistics(1)),
  );
  const gaussian = fc
    .record({
      logStd: each(outputs, -2, 2),
      low: each(outputs, -4, 0),
      high: each(outputs, 1, 4),
      squash: fc.option(fc.constant(true as const)),
    })
    .map(({ squash, ...density }) => ({ ...density, ...(squash && { squash }) }));
  return fc.record({ seen: fc.option(normalization), density: fc.option(gaussian) }).map(
    ({ seen, density }): Architecture => ({
      ...plain,
      ...(seen && { normalization: seen }),
      ...(density && { head: "gaussian", gaussian: density }),
    }),
  );
}

export const activation = fc.constantFrom<Activation>("relu", "tanh", "none");
export const pair = (max: number): fc.Arbitrary<[number, number]> =>
  fc.tuple(fc.integer({ min: 1, max }), fc.integer({ min: 1, max }));

/** Convolutions with and without padding. */
export const convolution: fc.Arbitrary<Convolution> = fc
  .record({
    // Few, or more than are summed one filter after the other.
    units: fc.oneof({ arbitrary: fc.integer({ min: 1, max: 4 }), weight: 4 }, fc.constantFrom(8, 9)),
    kernel: pair(3),
    stride: pair(2),
    padding: fc.option(fc.tuple(...[0, 1, 2, 3].map(() => fc.integer({ min: 0, max: 2 })))),
    activation,
  })
  .map(({ padding, ...layer }) => ({
    kind: "conv",
    ...layer,
    ...(padding && { padding: padding as [number, number, number, number] }),
  }));

/** Small networks over images: one to three convolutions with and without padding, up to two hidden dense layers. */
export const convolutional: fc.Arbitrary<Architecture> = fc
  .record({
    input: fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 2, max: 7 }), fc.integer({ min: 2, max: 7 })),
    convolutions: fc.array(convolution, { minLength: 1, maxLength: 3 }),
    hidden: fc.array(fc.record({ units: size, activation }), { maxLength: 2 }),
    outputs: size,
  })
  .map(
    ({ input, convolutions, hidden, outputs }): Architecture => ({
      input,
      layers: [
        ...convolutions,
        ...hidden.map((layer): Layer => ({ kind: "dense", ...layer })),
        { kind: "dense", units: outputs, activation: "none" },
      ],
      head: "logits",
    }),
  )
  .filter((architecture) => architectureSchema.safeParse(architecture).success)
  .chain(dressed);

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
  kind = architectures,
): fc.Arbitrary<{ readonly architecture: Architecture; readonly parameters: Float32Array }> {
  return kind.chain((architecture) => {
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
