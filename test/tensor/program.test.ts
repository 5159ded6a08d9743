import { afterEach, expect, it } from "vitest";
import { ShapeError } from "../../src/errors.ts";
import { stream } from "../../src/random/pcg64.ts";
import { elementsOf } from "../../src/shape.ts";
import { conv } from "../../src/tensor/convolution.ts";
import { gradient } from "../../src/tensor/gradient.ts";
import { add, cast, constant, greater, input, mul, neg, square, sum, type Tensor } from "../../src/tensor/graph.ts";
import { Program, type ProgramSpec, useThreads } from "../../src/tensor/program.ts";
import { windowProduct } from "../../src/tensor/windows.ts";

const open: Program[] = [];
async function compile(spec: ProgramSpec): Promise<Program> {
  const program = await Program.compile(spec);
  open.push(program);
  return program;
}
afterEach(async () => {
  for (const program of open.splice(0)) await program.dispose();
});

const counter = () => {
  const count = input([2]);
  const step = input([2]);
  return compile({
    inputs: { step },
    outputs: { doubled: mul(count, 2) },
    state: { count: [count, add(count, step)] },
  });
};

it("starts with zeros everywhere", async () => {
  const program = await counter();
  await program.run();
  expect([...program.floats("doubled"), ...program.floats("count")]).toEqual([0, 0, 0, 0]);
});

it("makes each state's successor current after a run", async () => {
  const program = await counter();
  program.floats("step").set([1, 10]);
  program.floats("count").set([5, 5]);
  const seen: number[][] = [];
  for (let run = 0; run < 3; run++) {
    await program.run();
    seen.push([...program.floats("count"), ...program.floats("doubled")]);
  }
  expect(seen).toEqual([
    [6, 15, 10, 10],
    [7, 25, 12, 30],
    [8, 35, 14, 50],
  ]);
});

it("swaps the two buffers of a state and copies nothing", async () => {
  const program = await counter();
  const first = program.floats("count");
  await program.run();
  const second = program.floats("count");
  await program.run();
  expect(second).not.toBe(first);
  expect(program.floats("count")).toBe(first);
  await program.run();
  expect(program.floats("count")).toBe(second);
});

it("keeps several states apart", async () => {
  const [a, b] = [input([1]), input([1])];
  const program = await compile({ inputs: {}, outputs: {}, state: { a: [a, add(b, 1)], b: [b, mul(a, 2)] } });
  program.floats("a").set([3]);
  program.floats("b").set([5]);
  await program.run();
  await program.run();
  // (3, 5) -> (6, 6) -> (7, 12)
  expect([program.floats("a")[0], program.floats("b")[0]]).toEqual([7, 12]);
});

it("writes every run into the same output buffer", async () => {
  const program = await counter();
  const buffer = program.floats("doubled");
  program.floats("count").set([1, 2]);
  await program.run();
  expect(program.floats("doubled")).toBe(buffer);
  expect([...buffer]).toEqual([2, 4]);
});

it("reads a bound array where it lies, at every run", async () => {
  const program = await counter();
  const step = Float32Array.of(1, 1);
  program.bind("step", step);
  await program.run();
  step[0] = 7;
  await program.run();
  expect([...program.floats("count")]).toEqual([8, 2]);
  expect(program.floats("step")).toBe(step);
});

it("reads a bound part of a larger array", async () => {
  const program = await counter();
  program.bind("step", Float32Array.of(9, 1, 2, 9).subarray(1, 3));
  await program.run();
  expect([...program.floats("count")]).toEqual([1, 2]);
});

it("writes an output into the caller's array", async () => {
  const program = await counter();
  const doubled = new Float32Array(2);
  program.bind("doubled", doubled);
  program.floats("count").set([3, 4]);
  await program.run();
  expect([...doubled]).toEqual([6, 8]);
});

it("takes integers and gives integers", async () => {
  const index = input([2], "int32");
  const program = await compile({ inputs: { index }, outputs: { same: index } });
  program.ints("index").set([-3, 4]);
  await program.run();
  expect([...program.ints("same")]).toEqual([-3, 4]);
});

it("accepts an input that nothing depends on", async () => {
  const x = input([1]);
  const program = await compile({ inputs: { x, unused: input([3]) }, outputs: { y: neg(x) } });
  program.floats("x").set([2]);
  await program.run();
  expect(program.floats("y")[0]).toBe(-2);
});

it("gives the same bits every time it is compiled", async () => {
  const run = async (): Promise<number> => {
    const x = input([1000]);
    const program = await compile({ inputs: { x }, outputs: { y: sum(mul(x, x)) } });
    program.bind(
      "x",
      Float32Array.from({ length: 1000 }, (_, i) => Math.sin(i)),
    );
    await program.run();
    return program.floats("y")[0]!;
  };
  expect(await run()).toBe(await run());
});

it("takes bytes", async () => {
  const pixels = input([3], "uint8");
  const program = await compile({ inputs: { pixels }, outputs: { halves: mul(cast(pixels, "float32"), 0.5) } });
  program.numbers("pixels").set([0, 1, 255]);
  await program.run();
  expect([...program.floats("halves")]).toEqual([0, 0.5, 127.5]);
});

const windows = { size: [17, 17], kernel: [3, 3], strides: [2, 2], pads: [0, 1, 1, 0] } as const;
it.each([
  ["convolutions", [4, 3, 17, 17], [8, 3, 3, 3], (x, weights) => conv(x, weights, windows)],
  [
    "products of windows",
    [32, 289, 16],
    [144, 32],
    (x, weights) => windowProduct(x, weights, constant(new Float32Array(32)), windows),
  ],
] as [string, number[], number[], (x: Tensor, weights: Tensor) => Tensor][])(
  "gives the same bits with any number of threads for %s",
  async (_name, images, matrix, build) => {
    const random = stream(1, "numbers");
    const x = input(images);
    const weights = input(matrix);
    const result = build(x, weights);
    const [ofWeights, ofImages] = gradient(sum(square(result)), [weights, x]) as [Tensor, Tensor];
    const outputs = { result, ofWeights, ofImages };
    const values = [x, weights].map(({ shape }) =>
      Float32Array.from({ length: elementsOf(shape) }, () => random.normal()),
    );
    const run = async (threads: number): Promise<Float32Array[]> => {
      useThreads(threads);
      const program = await compile({ inputs: { x, weights }, outputs });
      program.bind("x", values[0]!);
      program.bind("weights", values[1]!);
      await program.run();
      return Object.keys(outputs).map((name) => program.floats(name).slice());
    };
    const alone = await run(1);
    for (const threads of [2, 3]) expect(await run(threads)).toEqual(alone);
    useThreads(1);
  },
);

it.skipIf(process.arch !== "x64")("computes with denormal numbers as zeros (needs an x64 processor)", async () => {
  const x = input([1]);
  const program = await compile({ inputs: { x }, outputs: { y: mul(mul(x, 1e-10), 1e10) } });
  program.floats("x").set([1e-30]);
  await program.run();
  expect(program.floats("y")[0]).toBe(0);
});

const known = "it has step, count, doubled";
it.each([
  ["a name it does not have", (p: Program) => p.floats("steps"), `has no value named steps; ${known}`],
  ["integers it does not have", (p: Program) => p.ints("steps"), `has no value named steps; ${known}`],
  ["float32 as integers", (p: Program) => p.ints("step"), "step is not int32"],
  [
    "a fed array of another length",
    (p: Program) => {
      p.bind("step", new Float32Array(3));
    },
    "step has 2 values of float32, got 3 of float32",
  ],
  [
    "an array for a state, which it would write to",
    (p: Program) => {
      p.bind("count", new Float32Array(2));
    },
    "has no input or output named count",
  ],
])("refuses %s", async (_name, use, message) => {
  const program = await counter();
  expect(() => {
    use(program);
  }).toThrow(new ShapeError("program", message));
});

it("refuses floats for an input of integers", async () => {
  const index = input([2], "int32");
  const program = await compile({ inputs: { index }, outputs: { same: index } });
  expect(() => program.floats("index")).toThrow(new ShapeError("program", "index is not float32"));
  expect(() => {
    program.bind("index", new Float32Array(2));
  }).toThrow(new ShapeError("program", "index has 2 values of int32, got 2 of float32"));
});

const x = input([2]);
it.each<[string, ProgramSpec, ShapeError]>([
  [
    "a successor of another shape",
    { inputs: {}, outputs: {}, state: { x: [x, constant([1, 2, 3])] } },
    new ShapeError("program", "state x is float32 [2], its successor float32 [3]"),
  ],
  [
    "a successor of another dtype",
    { inputs: {}, outputs: {}, state: { x: [x, greater(x, 0)] } },
    new ShapeError("program", "state x is float32 [2], its successor bool [2]"),
  ],
  [
    "one name for an input and an output",
    { inputs: { x }, outputs: { x: neg(x) } },
    new ShapeError("program", "two values are named x"),
  ],
  [
    "one name for an input and a state",
    { inputs: { x }, outputs: {}, state: { x: [x, neg(x)] } },
    new ShapeError("program", "two values are named x"),
  ],
  [
    "an input without a name",
    { inputs: {}, outputs: { y: neg(x) } },
    new ShapeError("onnx", "an input of shape [2] is used but has no name"),
  ],
])("is not compiled with %s", async (_name, spec, error) => {
  await expect(Program.compile(spec)).rejects.toThrow(error);
});
