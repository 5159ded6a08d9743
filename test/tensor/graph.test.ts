import { describe, expect, it } from "vitest";
import { ShapeError } from "../../src/errors.ts";
import { conv, convTranspose } from "../../src/tensor/convolution.ts";
import {
  add,
  argmax,
  cast,
  concat,
  constant,
  type DType,
  equal,
  exp,
  expand,
  gather,
  greater,
  input,
  logSoftmax,
  matmul,
  max,
  mean,
  mul,
  reshape,
  type Shape,
  select,
  softmax,
  split,
  sum,
  type Tensor,
  transpose,
  where,
} from "../../src/tensor/graph.ts";
import { blocksOf, windowProduct } from "../../src/tensor/windows.ts";

const f = (...shape: number[]): Tensor => input(shape);
const ints = (...shape: number[]): Tensor => input(shape, "int32");
const bools = (...shape: number[]): Tensor => input(shape, "bool");

const shapes: [string, Tensor, Shape, DType][] = [
  ["a scalar constant", constant(2), [], "float32"],
  ["a list", constant([1, 2, 3]), [3], "float32"],
  ["integers with a shape", constant(Int32Array.of(1, 2), [2, 1]), [2, 1], "int32"],
  ["a sum of two numbers of axes", add(f(2, 1, 4), f(3, 1)), [2, 3, 4], "float32"],
  ["a product with a number", mul(2, f(3)), [3], "float32"],
  ["a matrix product", matmul(f(2, 3), f(3, 4)), [2, 4], "float32"],
  ["a convolution", conv(f(5, 4, 84, 84), f(32, 4, 8, 8), { strides: [4, 4] }), [5, 32, 20, 20], "float32"],
  ["a padded convolution", conv(f(1, 1, 3, 4), f(2, 1, 3, 3), { pads: [1, 0, 1, 2] }), [1, 2, 3, 4], "float32"],
  [
    "its transpose",
    convTranspose(f(5, 32, 20, 20), f(32, 4, 8, 8), [84, 84], { strides: [4, 4] }),
    [5, 4, 84, 84],
    "float32",
  ],
  ["A' B'", matmul(f(3, 2), f(4, 3), { transposeA: true, transposeB: true }), [2, 4], "float32"],
  ["a sum over everything", sum(f(2, 3)), [], "float32"],
  ["a mean over the last axis", mean(f(2, 3), { axes: [-1] }), [2], "float32"],
  ["a maximum with kept axes", max(f(2, 3, 4), { axes: [0, 2], keepDims: true }), [1, 3, 1], "float32"],
  ["an argmax", argmax(f(2, 3)), [2], "int32"],
  ["a reshape", reshape(f(2, 3), [3, 2, 1]), [3, 2, 1], "float32"],
  ["a transposition", transpose(f(2, 3, 4)), [4, 3, 2], "float32"],
  ["a permutation", transpose(f(2, 3, 4), [1, 2, 0]), [3, 4, 2], "float32"],
  ["a part of a split", split(f(2, 5), [2, 3], 1)[1]!, [2, 3], "float32"],
  ["a concatenation", concat([ints(2, 1), ints(2, 3)], 1), [2, 4], "int32"],
  ["rows in another order", gather(f(2, 3, 5), Int32Array.of(2, 0, 2, 1)), [2, 4, 5], "float32"],
  ["images in blocks", blocksOf(f(5, 4, 84, 84), [4, 4]), [5, 441, 64], "float32"],
  [
    "a padded product of windows",
    windowProduct(f(5, 400, 2), f(32, 64), f(64), {
      size: [20, 20],
      kernel: [4, 4],
      strides: [2, 2],
      pads: [1, 0, 1, 2],
    }),
    [5, 100, 64],
    "float32",
  ],
  ["an expansion", expand(f(3, 1), [2, 3, 4]), [2, 3, 4], "float32"],
  ["a comparison of integers", equal(ints(3), ints(2, 1)), [2, 3], "bool"],
  ["a choice", where(bools(2, 1), f(3), 0), [2, 3], "float32"],
  ["a cast", cast(bools(3), "float32"), [3], "float32"],
  ["a selection", select(f(4, 2), ints(4)), [4], "float32"],
];

it.each(shapes)("knows shape and dtype of %s when it is built", (_name, tensor, shape, dtype) => {
  expect([tensor.shape, tensor.dtype]).toEqual([shape, dtype]);
});

const refused: [string, () => unknown, operation: string, message: string][] = [
  ["an input of a negative size", () => f(2, -1), "input", "[2, -1] has the size -1, expected integers from 0"],
  ["an input of half a size", () => f(1.5), "input", "[1.5] has the size 1.5, expected integers from 0"],
  ["too few values", () => constant([1, 2], [3]), "constant", "2 values do not fill the shape [3]"],
  ["negative sizes of a constant", () => constant([1], [-1, -1]), "constant", "[-1, -1] has the size -1"],
  [
    "shapes that do not broadcast",
    () => add(f(2, 3), f(2)),
    "add",
    "shapes [2, 3] and [2] cannot be broadcast together",
  ],
  ["arithmetic with integers", () => mul(ints(3), 2), "mul", "needs float32, got int32 [3]"],
  ["the exponential of a condition", () => exp(bools(2)), "exp", "needs float32, got bool [2]"],
  ["a product of vectors", () => matmul(f(3), f(3, 1)), "matmul", "needs two matrices, got [3] and [3, 1]"],
  [
    "channels that differ",
    () => conv(f(1, 3, 5, 5), f(2, 4, 3, 3)),
    "conv",
    "images [1, 3, 5, 5] do not fit the weights [2, 4, 3, 3]",
  ],
  [
    "a kernel larger than its images",
    () => conv(f(1, 3, 2, 5), f(2, 3, 3, 3)),
    "conv",
    "the kernel of [2, 3, 3, 3] does not fit into images [1, 3, 2, 5]",
  ],
  [
    "images that a convolution cannot be made from",
    () => convTranspose(f(1, 2, 3, 3), f(2, 1, 3, 3), [7, 5]),
    "convTranspose",
    "[1, 2, 3, 3] by [2, 1, 3, 3] is not made from [7, 5]",
  ],
  ["a row that there is not", () => gather(f(2, 3, 5), Int32Array.of(0, 3)), "gather", "[2, 3, 5] has no row 3"],
  ["rows of a matrix", () => gather(f(2, 3), Int32Array.of(0)), "gather", "needs [batch, rows, channels], got [2, 3]"],
  [
    "weights that do not fit windows",
    () =>
      windowProduct(f(1, 25, 3), f(26, 2), f(2), { size: [5, 5], kernel: [3, 3], strides: [1, 1], pads: [0, 0, 0, 0] }),
    "windowProduct",
    "weights [26, 2] and biases [2] do not fit images [1, 25, 3]",
  ],
  [
    "windows larger than their images",
    () =>
      windowProduct(f(1, 4, 3), f(27, 2), f(2), { size: [2, 2], kernel: [3, 3], strides: [1, 1], pads: [0, 0, 0, 0] }),
    "windowProduct",
    "the kernel [3, 3] does not fit into images of [2, 2]",
  ],
  ["inner sizes that differ", () => matmul(f(2, 3), f(4, 5)), "matmul", "[2, 3] times [4, 5]: inner sizes differ"],
  [
    "inner sizes that differ once transposed",
    () => matmul(f(2, 3), f(3, 5), { transposeA: true }),
    "matmul",
    "[3, 2] times [3, 5]: inner sizes differ",
  ],
  [
    "a bias that is larger than the product",
    () => matmul(f(1, 3), f(3, 4), { bias: f(2, 4) }),
    "matmul",
    "bias [2, 4] does not broadcast to [1, 4]",
  ],
  ["a softmax of a scalar", () => softmax(f()), "softmax", "axis -1 is outside a tensor of shape []"],
  ["a log-softmax of a scalar", () => logSoftmax(f()), "logSoftmax", "axis -1 is outside a tensor of shape []"],
  ["an axis that is not there", () => sum(f(2, 3), { axes: [2] }), "sum", "axis 2 is outside a tensor of shape [2, 3]"],
  ["an axis twice", () => mean(f(2, 3), { axes: [1, -1] }), "mean", "axes [1, 1] repeat"],
  ["a maximum of nothing", () => max(f(2, 0)), "max", "is not defined over an empty axis of [2, 0]"],
  ["an argmax of nothing", () => argmax(f(2, 0)), "argmax", "is not defined over the empty last axis of [2, 0]"],
  ["an argmax of integers", () => argmax(ints(2)), "argmax", "needs float32, got int32 [2]"],
  ["another number of elements", () => reshape(f(2, 3), [4]), "reshape", "[2, 3] has 6 elements, [4] has 4"],
  ["two negative sizes", () => reshape(f(6), [-2, -3]), "reshape", "[-2, -3] has the size -2"],
  ["an order of too few axes", () => transpose(f(2, 3), [0]), "transpose", "[0] does not order the axes of [2, 3]"],
  ["an order with an axis twice", () => transpose(f(2, 3), [1, 1]), "transpose", "[1, 1] does not order the axes"],
  ["parts that leave a rest", () => split(f(5), [2, 2]), "split", "sizes [2, 2] add up to 4, axis 0 of [5] has 5"],
  ["parts of negative size", () => split(f(2), [3, -1]), "split", "[3, -1] has the size -1"],
  ["no parts", () => split(f(0), []), "split", "sizes [] add up to 0, axis 0 of [0] has 0"],
  ["nothing to join", () => concat([]), "concat", "needs at least one tensor"],
  [
    "parts with other sizes",
    () => concat([f(2, 3), f(3, 3)], 1),
    "concat",
    "float32 [3, 3] does not fit float32 [2, 3] along axis 1",
  ],
  [
    "parts with other numbers of axes",
    () => concat([f(2, 3), f(4)], 1),
    "concat",
    "float32 [4] does not fit float32 [2, 3] along axis 1",
  ],
  ["parts of other dtypes", () => concat([f(2), ints(2)]), "concat", "int32 [2] does not fit float32 [2] along axis 0"],
  ["an expansion that shrinks", () => expand(f(2, 3), [3]), "expand", "[2, 3] does not broadcast to [3]"],
  ["an expansion to a negative size", () => expand(f(1), [-3]), "expand", "[-3] has the size -3"],
  [
    "a comparison of two dtypes",
    () => greater(f(2), ints(2)),
    "greater",
    "compares two float32 or two int32 tensors, got float32 and int32",
  ],
  ["a choice without a condition", () => where(f(2), 1, 0), "where", "the condition is float32, expected bool"],
  ["a choice between integers", () => where(bools(2), ints(2), 0), "where", "needs float32, got int32 [2]"],
  [
    "other numbers of rows and indices",
    () => select(f(3, 2), ints(4)),
    "select",
    "needs [rows, columns] values and [rows] int32 indices, got [3, 2] and int32 [4]",
  ],
  [
    "indices that are not integers",
    () => select(f(3, 2), f(3)),
    "select",
    "needs [rows, columns] values and [rows] int32 indices, got [3, 2] and float32 [3]",
  ],
  ["a selection of integers", () => select(ints(3, 2), ints(3)), "select", "needs float32, got int32 [3, 2]"],
];

describe("refuses, naming operation and shapes,", () => {
  it.each(refused)("%s", (_name, build, operation, message) => {
    let refusal: unknown;
    try {
      build();
    } catch (error) {
      refusal = error;
    }
    expect(refusal).toBeInstanceOf(ShapeError);
    expect(refusal).toMatchObject({
      operation,
      message: expect.stringContaining(`${operation}: ${message}`) as string,
    });
  });
});

it("does not grow when an operation has nothing to do", () => {
  const x = f(2, 3);
  expect(reshape(x, [2, 3])).toBe(x);
  expect(expand(x, [2, 3])).toBe(x);
  expect(cast(x, "float32")).toBe(x);
  expect(concat([x])).toBe(x);
  expect(split(x, [3], 1)).toEqual([x]);
});
