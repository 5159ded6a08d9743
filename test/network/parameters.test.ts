import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Architecture, dense, layoutOf } from "../../src/network/architecture.ts";
import { countNonZero, INITIALIZERS, initialize } from "../../src/network/parameters.ts";
import { stream } from "../../src/random/pcg64.ts";
import { architectures } from "./architectures.ts";

const architecture = dense(40, [60, 50], 10, "q-values");

/** Weights of each layer. */
function weightsOf(network: Architecture, parameters: Float32Array): Float32Array[] {
  return layoutOf(network).map(({ weights }) => parameters.subarray(weights.offset, weights.offset + weights.length));
}

describe.each(INITIALIZERS)("%s", (initializer) => {
  it("draws the same parameters from the same stream, others from another", () => {
    const draw = (seed: number) => initialize(architecture, initializer, stream(seed, "a"));
    expect(draw(1)).toEqual(draw(1));
    expect(draw(1)).not.toEqual(draw(2));
  });

  it("leaves biases at 0 and draws every weight", () => {
    fc.assert(
      fc.property(architectures, fc.nat(), (network, seed) => {
        const parameters = initialize(network, initializer, stream(seed, "a"));
        for (const { weights, biases } of layoutOf(network)) {
          expect(parameters.subarray(weights.offset, weights.offset + weights.length)).not.toContain(0);
          expect(parameters.subarray(biases.offset, biases.offset + biases.length).every((x) => x === 0)).toBe(true);
        }
      }),
    );
  });
});

it.each([
  // Limits sqrt(6 / (40 + 60)), sqrt(6 / (60 + 50)), sqrt(6 / (50 + 10)).
  ["glorot", [0.244949, 0.23355, 0.316228]],
  // Limits sqrt(6 / 40), sqrt(6 / 60), sqrt(6 / 50).
  ["he", [0.387298, 0.316228, 0.34641]],
] as const)("%s is uniform between its limits", (initializer, limits) => {
  const layers = weightsOf(architecture, initialize(architecture, initializer, stream(0, "a")));
  for (const [i, weights] of layers.entries()) {
    const limit = limits[i]!;
    const scaled = Float64Array.from(weights, (x) => x / limit);
    const count = scaled.length;
    expect(Math.max(...scaled.map(Math.abs))).toBeLessThan(1.000001);
    expect(Math.max(...scaled)).toBeGreaterThan(0.98);
    expect(Math.min(...scaled)).toBeLessThan(-0.98);
    // Moments of a uniform: mean 0, sd 1/sqrt(3); mean square 1/3, sd sqrt(4/45). Five standard errors.
    const mean = scaled.reduce((total, x) => total + x, 0) / count;
    const square = scaled.reduce((total, x) => total + x * x, 0) / count;
    expect(Math.abs(mean)).toBeLessThan(5 / Math.sqrt(3 * count));
    expect(Math.abs(square - 1 / 3)).toBeLessThan(5 * Math.sqrt(4 / 45 / count));
  }
});

it("orthogonal has orthonormal columns, or rows when they are fewer, times sqrt(2) in front of an activation", () => {
  fc.assert(
    fc.property(architectures, fc.nat(), (network, seed) => {
      const layers = layoutOf(network);
      const drawn = weightsOf(network, initialize(network, "orthogonal", stream(seed, "a")));
      for (const [i, { inputs, outputs, activation }] of layers.entries()) {
        const weights = drawn[i]!;
        const tall = inputs >= outputs;
        const vectors = Array.from({ length: Math.min(inputs, outputs) }, (_, k) =>
          Array.from(
            { length: Math.max(inputs, outputs) },
            (_, at) => weights[tall ? at * outputs + k : k * outputs + at]!,
          ),
        );
        const gain = activation === "none" ? 1 : 2;
        for (const [a, left] of vectors.entries()) {
          for (const [b, right] of vectors.entries()) {
            const product = left.reduce((total, x, at) => total + x * right[at]!, 0);
            expect(product).toBeCloseTo(a === b ? gain : 0, 5);
          }
        }
      }
    }),
  );
});

it("counts weights that are not 0, without biases", () => {
  const small = dense(2, [2], 1, "q-values");
  // 4 weights, 2 biases, 2 weights, 1 bias.
  expect(countNonZero(small, Float32Array.of(1, 0, -2, -0, 5, 5, 1e-30, 0, 5))).toBe(3);
});
