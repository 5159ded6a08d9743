import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ShapeError } from "../../src/errors.ts";
import { stream } from "../../src/random/pcg64.ts";
import { elementsOf } from "../../src/shape.ts";
import { conv, convTranspose } from "../../src/tensor/convolution.ts";
import { gradient } from "../../src/tensor/gradient.ts";
import {
  abs,
  add,
  argmax,
  cast,
  clip,
  concat,
  constant,
  div,
  equal,
  exp,
  expand,
  gather,
  greater,
  huber,
  input,
  less,
  log,
  logSoftmax,
  matmul,
  max,
  maximum,
  mean,
  minimum,
  mul,
  neg,
  relu,
  reshape,
  type Shape,
  select,
  sigmoid,
  softmax,
  split,
  sqrt,
  square,
  stopGradient,
  sub,
  sum,
  type Tensor,
  tanh,
  transpose,
  where,
} from "../../src/tensor/graph.ts";
import { Program } from "../../src/tensor/program.ts";
import { blocksOf, windowProduct } from "../../src/tensor/windows.ts";
import { interpret, type Values } from "./interpreter.ts";

/** An expression of inputs with the given shapes. */
interface Sample {
  readonly shapes: readonly Shape[];
  readonly build: (...inputs: Tensor[]) => Tensor;
}

const anyShape = fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 3 });
const withAxes = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 3 });

/** Two shapes of all ranks that broadcast together: axes of 1 on either side, leading axes left out. */
const pairs = fc
  .tuple(
    anyShape,
    fc.array(fc.boolean(), { minLength: 6, maxLength: 6 }),
    fc.integer({ min: 0, max: 3 }),
    fc.integer({ min: 0, max: 3 }),
  )
  .map(([shape, ones, a, b]): [Shape, Shape] => [
    shape.map((size, axis) => (ones[axis] ? 1 : size)).slice(a),
    shape.map((size, axis) => (ones[3 + axis] ? 1 : size)).slice(b),
  ]);

const unary = (build: (x: Tensor) => Tensor, shapes = anyShape): fc.Arbitrary<Sample> =>
  shapes.map((shape) => ({ shapes: [shape], build }));
const binary = (build: (a: Tensor, b: Tensor) => Tensor): fc.Arbitrary<Sample> =>
  pairs.map((shapes) => ({ shapes, build }));

type Reduce = typeof sum;
const reduction = (build: Reduce): fc.Arbitrary<Sample> =>
  anyShape.chain((shape) =>
    fc
      .record(
        { axes: fc.subarray(shape.map((_, axis) => axis)).chain(signs(shape.length)), keepDims: fc.boolean() },
        { requiredKeys: [] },
      )
      .map((options) => ({ shapes: [shape], build: (x: Tensor) => build(x, options) })),
  );
/** Some of the axes counted from the end. */
const signs = (rank: number) => (axes: number[]) =>
  fc.tuple(...axes.map((axis) => fc.constantFrom(axis, axis - rank))).map((signed) => signed);

const size = fc.integer({ min: 1, max: 4 });
const gemm = fc
  .tuple(size, size, size, fc.boolean(), fc.boolean(), fc.integer({ min: 0, max: 6 }))
  .map(([n, k, m, transposeA, transposeB, kind]): Sample => {
    const biases: Shape[] = [[], [1], [m], [1, m], [n, 1], [n, m]];
    const bias = biases[kind - 1];
    const shapes = [transposeA ? [k, n] : [n, k], transposeB ? [m, k] : [k, m], ...(bias ? [bias] : [])];
    return {
      shapes,
      build: (a, b, ...[c]) => matmul(a, b, { transposeA, transposeB, ...(c && { bias: c }) }),
    };
  });

const two = (max: number): fc.Arbitrary<[number, number]> =>
  fc.tuple(fc.integer({ min: 1, max }), fc.integer({ min: 1, max }));
/** Images, weights and options of a convolution, with and without padding, strides that leave rows over, and dilations. */
const convolutions = fc
  .record({
    batch: fc.integer({ min: 1, max: 2 }),
    channels: fc.integer({ min: 1, max: 2 }),
    filters: fc.integer({ min: 1, max: 2 }),
    size: two(5),
    kernel: two(3),
    strides: two(3),
    dilations: two(2),
    pads: fc.tuple(fc.nat(2), fc.nat(2), fc.nat(2), fc.nat(2)),
  })
  .filter(({ size: [height, width], kernel, dilations, pads: [top, left, bottom, right] }) => {
    return (
      height + top + bottom > dilations[0] * (kernel[0] - 1) && width + left + right > dilations[1] * (kernel[1] - 1)
    );
  });

const convs = convolutions.map(
  ({ batch, channels, filters, size, kernel, ...options }): Sample => ({
    shapes: [
      [batch, channels, ...size],
      [filters, channels, ...kernel],
    ],
    build: (x, weights) => conv(x, weights, options),
  }),
);

const convTransposes = convolutions.map(({ batch, channels, filters, size, kernel, ...options }): Sample => {
  const weights = [filters, channels, ...kernel];
  const made = conv(input([batch, channels, ...size]), input(weights), options).shape;
  return { shapes: [made, weights], build: (x, w) => convTranspose(x, w, size, options) };
});

const windowProducts = convolutions
  .filter(({ size, kernel, pads: [top, left, bottom, right] }) => {
    return size[0] + top + bottom >= kernel[0] && size[1] + left + right >= kernel[1];
  })
  .map(({ batch, channels, filters, size, kernel, strides, pads }): Sample => {
    const windows = { size, kernel, strides, pads };
    return {
      shapes: [[batch, size[0] * size[1], channels], [kernel[0] * kernel[1] * channels, filters], [filters]],
      build: (x, weights, biases) => windowProduct(x, weights, biases, windows),
    };
  });

const gathers = fc.tuple(size, size, size).chain(([batch, rows, channels]) =>
  fc.array(fc.nat(rows - 1), { minLength: 1, maxLength: 6 }).map(
    (indices): Sample => ({
      shapes: [[batch, rows, channels]],
      build: (x) => gather(x, Int32Array.from(indices)),
    }),
  ),
);

const blocks = fc.tuple(size, size, two(3), two(3)).map(([batch, channels, block, times]): Sample => {
  const [height, width] = [block[0] * times[0], block[1] * times[1]];
  return { shapes: [[batch, channels, height, width]], build: (x) => blocksOf(x, block) };
});

const concats = withAxes.chain((shape) =>
  fc.tuple(fc.array(size, { minLength: 1, maxLength: 3 }), fc.nat(shape.length - 1)).map(
    ([sizes, axis]): Sample => ({
      shapes: sizes.map((part) => shape.with(axis, part)),
      build: (...parts) => concat(parts, axis),
    }),
  ),
);

const splits = withAxes.chain((shape) =>
  fc.tuple(fc.array(size, { minLength: 1, maxLength: 3 }), fc.nat(shape.length - 1)).map(
    ([sizes, axis]): Sample => ({
      shapes: [
        shape.with(
          axis,
          sizes.reduce((a, b) => a + b),
        ),
      ],
      // The first part twice, the last one not at all unless it is the only one.
      build: (x) => {
        const parts = split(x, sizes, axis);
        return concat([parts[0]!, ...parts.slice(1, -1), tanh(parts[0]!)], axis);
      },
    }),
  ),
);

const transposes = anyShape.chain((shape) =>
  fc
    .shuffledSubarray(
      shape.map((_, axis) => axis),
      { minLength: shape.length },
    )
    .map((order): Sample => ({ shapes: [shape], build: (x) => transpose(x, order) })),
);

const reshapes = anyShape.chain((shape) =>
  fc
    .constantFrom<Shape>([elementsOf(shape)], [1, elementsOf(shape)], [...shape, 1], shape.toReversed())
    .map((to): Sample => ({ shapes: [shape], build: (x) => reshape(x, to) })),
);

const selects = fc.tuple(size, size).chain(([rows, columns]) =>
  fc.array(fc.nat(columns - 1), { minLength: rows, maxLength: rows }).map(
    (index): Sample => ({
      shapes: [[rows, columns]],
      build: (x) => select(x, constant(Int32Array.from(index))),
    }),
  ),
);

/** Away from 0, where the function is not defined or too steep for float32. */
const positive = (x: Tensor): Tensor => add(abs(x), 0.25);

const cases: Record<string, fc.Arbitrary<Sample>> = {
  add: binary(add),
  sub: binary(sub),
  mul: binary(mul),
  div: binary((a, b) => div(a, where(greater(b, 0), positive(b), neg(positive(b))))),
  minimum: binary(minimum),
  maximum: binary(maximum),
  "a number on the left": unary((x) => sub(0.5, div(2, positive(x)))),
  "a number on the right": unary((x) => sub(maximum(mul(x, 3), 0.1), 2)),
  neg: unary(neg),
  relu: unary(relu),
  tanh: unary(tanh),
  sigmoid: unary(sigmoid),
  exp: unary(exp),
  log: unary((x) => log(positive(x))),
  sqrt: unary((x) => sqrt(positive(x))),
  abs: unary(abs),
  square: unary(square),
  clip: unary((x) => clip(x, -Math.SQRT1_2, Math.SQRT2)),
  huber: fc.tuple(anyShape, fc.constantFrom(0.5, 1, 1.5)).map(([shape, delta]) => ({
    shapes: [shape],
    build: (x) => huber(x, delta),
  })),
  matmul: gemm,
  conv: convs,
  convTranspose: convTransposes,
  windowProduct: windowProducts,
  gather: gathers,
  blocksOf: blocks,
  softmax: unary(softmax, withAxes),
  logSoftmax: unary(logSoftmax, withAxes),
  sum: reduction(sum),
  mean: reduction(mean),
  max: reduction(max),
  reshape: reshapes,
  transpose: transposes,
  split: splits,
  concat: concats,
  expand: pairs.map(([a, b]) => ({ shapes: [a], build: (x) => expand(x, addShapes(a, b)) })),
  where: fc.tuple(pairs, pairs).map(([[a, b], [c]]) => ({
    shapes: [a, b, c.length > 0 ? [1] : []],
    build: (x, y, z) => where(greater(z, 0), mul(x, 2), y),
  })),
  "where with a broadcast condition": pairs.map((shapes) => ({
    shapes,
    build: (x, y) => where(less(x, y), mul(x, y), 0.5),
  })),
  "where with equal": unary((x) => where(equal(x, max(x)), mul(x, 3), x)),
  select: selects,
  "select of the argmax": fc.tuple(size, size).map((shape) => ({
    shapes: [shape],
    build: (x) => select(mul(x, x), argmax(x)),
  })),
  stopGradient: unary((x) => mul(stopGradient(mul(x, 2)), x)),
  "cast of a condition": unary((x) => mul(cast(greater(x, 0.3), "float32"), square(x))),
};

/** The larger of two shapes that broadcast together. */
function addShapes(a: Shape, b: Shape): Shape {
  return add(input(a), input(b)).shape;
}

/**
 * Distinct numbers in (-2, 2), none of them 0, shuffled: far from the kinks of relu, abs, minimum, maximum and max in
 * comparison with the step of the differences. Exact in float32.
 */
function draw(shapes: readonly Shape[], seed: number): Float32Array[] {
  const random = stream(seed, "values");
  const sizes = shapes.map(elementsOf);
  const count = sizes.reduce((a, b) => a + b, 0);
  const even = count + (count % 2);
  const points = Array.from({ length: even }, (_, i) => (4 * (i + 0.5)) / even - 2);
  return sizes.map((length) =>
    Float32Array.from({ length }, () => points.splice(random.integer(points.length), 1)[0]!),
  );
}

function stopped(tensor: Tensor, found = new Set<Tensor>()): Set<Tensor> {
  if (tensor.node.operation === "stopGradient") found.add(tensor);
  for (const x of tensor.node.inputs) stopped(x, found);
  return found;
}

/** d loss / d x by central differences of the float64 interpreter; what is behind `stopGradient` stands still. */
function differences(loss: Tensor, known: ReadonlyMap<Tensor, Values>, x: Tensor): number[] {
  const step = 1e-5;
  const still = [...stopped(loss)].map((tensor) => [tensor, interpret(tensor, known)] as const);
  const lossAt = (values: number[]): number => interpret(loss, new Map([...known, ...still, [x, values]]))[0]!;
  const at = Array.from(known.get(x)!);
  return at.map((value, i) => (lossAt(at.with(i, value + step)) - lossAt(at.with(i, value - step))) / (2 * step));
}

function expectClose(actual: Float32Array, expected: Values, tolerance: number): void {
  expect(actual.length).toBe(expected.length);
  for (const [i, value] of actual.entries()) {
    const error = Math.abs(value - expected[i]!) / (1 + Math.abs(expected[i]!));
    expect(error, `element ${i} is ${value}, expected ${expected[i]}`).toBeLessThan(tolerance);
  }
}

/** Compares the values and gradients of a compiled expression with the interpreter's. */
async function check({ shapes, build }: Sample, seed: number): Promise<void> {
  const inputs = shapes.map((shape) => input(shape));
  const value = build(...inputs);
  const random = stream(seed, "weights");
  const weights = Float32Array.from({ length: elementsOf(value.shape) }, () => random.uniform(-1.5, 1.5));
  const loss = sum(mul(value, constant(weights, value.shape)));
  const named = (prefix: string, tensors: Tensor[]) => Object.fromEntries(tensors.map((x, i) => [`${prefix}${i}`, x]));
  const program = await Program.compile({
    inputs: named("x", inputs),
    outputs: { value, ...named("dx", gradient(loss, inputs)) },
  });
  const values = draw(shapes, seed);
  for (const [i, numbers] of values.entries()) program.bind(`x${i}`, numbers);
  await program.run();

  const known = new Map(inputs.map((x, i) => [x, values[i]!]));
  expectClose(program.floats("value"), interpret(value, known), 1e-5);
  for (const [i, x] of inputs.entries()) {
    expectClose(program.floats(`dx${i}`), differences(loss, known, x), 1e-4);
  }
  await program.dispose();
}

describe.each(Object.entries(cases))("%s", (_name, samples) => {
  it("has the value of its definition and the gradient of central differences, whatever the shapes", async () => {
    await fc.assert(fc.asyncProperty(samples, fc.nat(), check), { numRuns: 20 });
  });
});

it("takes part in any composition, with results used several times", async () => {
  type Step = readonly [kind: number, a: number, b: number];
  const apply = ([kind, a, b]: Step, held: Tensor[]): Tensor => {
    const x = held[a % held.length]!;
    const y = held[b % held.length]!;
    const [left, right] = split(x, [1, 2], 1) as readonly [Tensor, Tensor];
    const results = [
      () => tanh(x),
      () => sigmoid(x),
      () => add(x, y),
      () => mul(x, y),
      () => tanh(matmul(x, y, { transposeB: true })),
      () => softmax(x),
      () => sub(x, mean(y, { axes: [0], keepDims: true })),
      () => concat([right, mul(left, max(y))], 1),
      () => stopGradient(x),
      () => div(x, add(1, square(y))),
    ];
    return results[kind % results.length]!();
  };
  const steps = fc.array(fc.tuple(fc.nat(), fc.nat(), fc.nat()), { minLength: 1, maxLength: 8 });
  const build =
    (all: readonly Step[]) =>
    (...held: Tensor[]): Tensor => {
      for (const step of all) held.push(apply(step, held));
      return tanh(held.at(-1)!);
    };
  await fc.assert(
    fc.asyncProperty(steps, fc.nat(), (all, seed) =>
      check(
        {
          shapes: [
            [3, 3],
            [3, 3],
          ],
          build: build(all),
        },
        seed,
      ),
    ),
    { numRuns: 40 },
  );
});

/** Gradients of the sum of an expression at a point. */
async function gradientsAt(points: number[][], build: (...inputs: Tensor[]) => Tensor): Promise<number[][]> {
  const inputs = points.map((point) => input([point.length]));
  const gradients = gradient(sum(build(...inputs)), inputs);
  const program = await Program.compile({
    inputs: Object.fromEntries(inputs.map((x, i) => [`x${i}`, x])),
    outputs: Object.fromEntries(gradients.map((g, i) => [`g${i}`, g])),
  });
  for (const [i, point] of points.entries()) program.bind(`x${i}`, Float32Array.from(point));
  await program.run();
  return gradients.map((_, i) => [...program.floats(`g${i}`)]);
}

describe("where a function has no derivative", () => {
  it("the first operand of a minimum or maximum gets the gradient of a tie", async () => {
    expect(await gradientsAt([[1], [1]], (a, b) => minimum(a, b))).toEqual([[1], [0]]);
    expect(await gradientsAt([[1], [1]], (a, b) => maximum(a, b))).toEqual([[1], [0]]);
  });

  it("all that share the maximum of an axis get an equal part", async () => {
    expect(await gradientsAt([[3, 1, 3]], (x) => max(x))).toEqual([[0.5, 0, 0.5]]);
  });

  it("relu and abs have the gradient 0 at 0", async () => {
    expect(await gradientsAt([[0]], (x) => relu(x))).toEqual([[0]]);
    expect(await gradientsAt([[0]], (x) => abs(x))).toEqual([[0]]);
  });

  it("clip lets the gradient through at its limits and not beyond", async () => {
    expect(await gradientsAt([[-2, -1, 0, 1, 2]], (x) => clip(x, -1, 1))).toEqual([[0, 1, 1, 1, 0]]);
  });
});

it("is 0 for a tensor that the loss does not depend on", async () => {
  expect(await gradientsAt([[1], [2, 3]], (a) => mul(a, 2))).toEqual([[2], [0, 0]]);
});

it("is 0 for what only a comparison, an argmax or a stopped gradient depends on", async () => {
  const build = (x: Tensor): Tensor => add(cast(argmax(reshape(x, [1, 2])), "float32"), stopGradient(sum(x)));
  expect(await gradientsAt([[1, 2]], build)).toEqual([[0, 0]]);
});

it("can be taken with respect to an intermediate result", async () => {
  const x = input([2]);
  const middle = mul(x, 3);
  const program = await Program.compile({
    inputs: { x },
    outputs: { g: gradient(sum(square(middle)), [middle])[0]! },
  });
  program.floats("x").set([1, 2]);
  await program.run();
  expect([...program.floats("g")]).toEqual([6, 12]);
});

it("can be differentiated again", async () => {
  const secondOf = (x: Tensor): Tensor => gradient(sum(mul(x, square(x))), [x])[0]!;
  expect(await gradientsAt([[1, -2]], (x) => secondOf(x))).toEqual([[6, -12]]);
});

it("handles expressions that are deeper than the call stack", () => {
  const x = input([1]);
  let y = x;
  for (let i = 0; i < 50_000; i++) y = neg(y);
  expect(gradient(y, [x])[0]!.shape).toEqual([1]);
});

it.each([
  ["more than one number", input([3]), "gradient: the loss is one float32 number, got float32 [3]"],
  ["an integer", input([], "int32"), "gradient: the loss is one float32 number, got int32 []"],
])("refuses a loss that is %s", (_name, loss, message) => {
  expect(() => gradient(loss, [])).toThrow(new ShapeError("gradient", message.replace("gradient: ", "")));
});
