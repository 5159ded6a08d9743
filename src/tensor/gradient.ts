import { ShapeError } from "../errors.ts";
import { elementsOf } from "../shape.ts";
import { type ConvolutionOptions, conv, convTranspose, positionsOf } from "./convolution.ts";
import {
  add,
  cast,
  concat,
  constant,
  div,
  equal,
  expand,
  greater,
  less,
  matmul,
  mul,
  type Node,
  neg,
  type Operation,
  reshape,
  type Shape,
  softmax,
  split,
  sub,
  sum,
  type Tensor,
  transpose,
  where,
} from "./graph.ts";
import { gatherGradient, imageGradient, type Windows } from "./windows.ts";

/** Nodes that `roots` depend on, every node after its inputs. */
export function sortNodes(roots: readonly Tensor[]): Node[] {
  const sorted: Node[] = [];
  const seen = new Set<Node>();
  // An explicit stack: graphs may be deeper than the call stack.
  const stack = roots.map((root) => ({ node: root.node, expanded: false })).reverse();
  for (let top = stack.pop(); top; top = stack.pop()) {
    if (top.expanded) {
      sorted.push(top.node);
    } else if (!seen.has(top.node)) {
      seen.add(top.node);
      stack.push({ node: top.node, expanded: true });
      for (let i = top.node.inputs.length - 1; i >= 0; i--)
        stack.push({ node: top.node.inputs[i]!.node, expanded: false });
    }
  }
  return sorted;
}

/** Sums a gradient over the axes along which its operand was broadcast. */
function unbroadcast(gradient: Tensor, shape: Shape): Tensor {
  const extra = gradient.shape.length - shape.length;
  const axes = gradient.shape.flatMap((size, axis) =>
    axis < extra || (shape[axis - extra] === 1 && size !== 1) ? [axis] : [],
  );
  return axes.length === 0 ? reshape(gradient, shape) : reshape(sum(gradient, { axes }), shape);
}

/** `unbroadcast` for a bias: as a product with ones, a third of the time of ONNX Runtime's ReduceSum over the first axis. */
function sumRows(g: Tensor, shape: Shape): Tensor {
  const [rows, columns] = g.shape as readonly [number, number];
  if (shape.length !== 1 || shape[0] !== columns) return unbroadcast(g, shape);
  return reshape(matmul(constant(new Float32Array(rows).fill(1), [1, rows]), g), shape);
}

const zeros = (shape: Shape): Tensor => expand(constant(0), shape);
const axesOf = (node: Node): readonly number[] => node.attributes["axes"] as readonly number[];
/** Shape of a reduction's result with the reduced axes kept. */
const keptShape = (node: Node, x: Tensor): Shape =>
  x.shape.map((size, axis) => (axesOf(node).includes(axis) ? 1 : size));

const geometryOf = (node: Node): Required<ConvolutionOptions> =>
  node.attributes as unknown as Required<ConvolutionOptions>;

/**
 * Gradient of a convolution's weights: the images correlated with the gradient of the result, batch and channels changing
 * places, so that the stride becomes the distance between the elements of a window. Where the stride leaves rows or columns
 * of the images over, there are windows too many, which are cut off.
 */
function weightGradient(x: Tensor, gradient: Tensor, kernel: Shape, options: Required<ConvolutionOptions>): Tensor {
  const { strides, dilations, pads } = options;
  const swap = [1, 0, 2, 3];
  const all = conv(transpose(x, swap), transpose(gradient, swap), { strides: dilations, dilations: strides, pads });
  const rows = cut(all, 2, kernel[2]!);
  return transpose(cut(rows, 3, kernel[3]!), swap);
}

/** The first `length` of an axis. */
function cut(x: Tensor, axis: number, length: number): Tensor {
  const rest = x.shape[axis]! - length;
  return rest === 0 ? x : split(x, [length, rest], axis)[0]!;
}

type Pullback = (
  node: Node,
  gradient: Tensor,
  gradients: readonly (Tensor | undefined)[],
) => readonly (Tensor | undefined)[];

const none: Pullback = (node) => node.inputs.map(() => undefined);
const elementwise =
  (rule: (gradient: Tensor, y: Tensor, x: Tensor) => Tensor): Pullback =>
  (node, gradient) => [rule(gradient, node.outputs[0]!, node.inputs[0]!)];

function choose(condition: (a: Tensor, b: Tensor) => Tensor): Pullback {
  return (node, gradient) => {
    const [a, b] = node.inputs as readonly [Tensor, Tensor];
    const second = condition(a, b);
    return [unbroadcast(where(second, 0, gradient), a.shape), unbroadcast(where(second, gradient, 0), b.shape)];
  };
}

/** The product rule of every operation: gradients with respect to its inputs, given that of its output. */
const pullbacks: Record<Operation, Pullback> = {
  input: none,
  constant: none,
  argmax: none,
  greater: none,
  less: none,
  equal: none,
  cast: none,
  stopGradient: none,
  add: (node, g) => node.inputs.map((x) => unbroadcast(g, x.shape)),
  sub: (node, g) => [unbroadcast(g, node.inputs[0]!.shape), unbroadcast(neg(g), node.inputs[1]!.shape)],
  mul: (node, g) => {
    const [a, b] = node.inputs as readonly [Tensor, Tensor];
    return [unbroadcast(mul(g, b), a.shape), unbroadcast(mul(g, a), b.shape)];
  },
  div: (node, g) => {
    const [a, b] = node.inputs as readonly [Tensor, Tensor];
    return [unbroadcast(div(g, b), a.shape), unbroadcast(neg(div(mul(g, node.outputs[0]!), b)), b.shape)];
  },
  minimum: choose((a, b) => greater(a, b)),
  maximum: choose((a, b) => less(a, b)),
  neg: elementwise((g) => neg(g)),
  // A product: ONNX Runtime's Where takes four times as long.
  relu: elementwise((g, y) => mul(g, cast(greater(y, 0), "float32"))),
  tanh: elementwise((g, y) => mul(g, sub(1, mul(y, y)))),
  sigmoid: elementwise((g, y) => mul(g, mul(y, sub(1, y)))),
  exp: elementwise((g, y) => mul(g, y)),
  log: elementwise((g, _y, x) => div(g, x)),
  sqrt: elementwise((g, y) => div(mul(0.5, g), y)),
  abs: elementwise((g, _y, x) => where(greater(x, 0), g, where(less(x, 0), neg(g), 0))),
  softmax: elementwise((g, y) => {
    const weighted = mul(g, y);
    return sub(weighted, mul(y, sum(weighted, { axes: [-1], keepDims: true })));
  }),
  logSoftmax: elementwise((g, _y, x) => sub(g, mul(softmax(x), sum(g, { axes: [-1], keepDims: true })))),
  sum: (node, g) => {
    const x = node.inputs[0]!;
    return [expand(reshape(g, keptShape(node, x)), x.shape)];
  },
  mean: (node, g) => {
    const x = node.inputs[0]!;
    const count = elementsOf(x.shape) / elementsOf(g.shape);
    return [expand(reshape(mul(g, 1 / count), keptShape(node, x)), x.shape)];
  },
  max: (node, g) => {
    const x = node.inputs[0]!;
    const kept = keptShape(node, x);
    const winners = cast(equal(x, reshape(node.outputs[0]!, kept)), "float32");
    const shared = div(reshape(g, kept), sum(winners, { axes: axesOf(node), keepDims: true }));
    return [mul(winners, shared)];
  },
  gemm: (node, g) => {
    const [a, b, bias] = node.inputs as readonly [Tensor, Tensor, Tensor | undefined];
    const transA = node.attributes["transA"] === 1;
    const transB = node.attributes["transB"] === 1;
    const gradA = transA
      ? matmul(b, g, { transposeA: transB, transposeB: true })
      : matmul(g, b, { transposeB: !transB });
    const gradB = transB
      ? matmul(g, a, { transposeA: true, transposeB: transA })
      : matmul(a, g, { transposeA: !transA });
    return bias ? [gradA, gradB, sumRows(g, bias.shape)] : [gradA, gradB];
  },
  conv: (node, g) => {
    const [x, weights] = node.inputs as readonly [Tensor, Tensor];
    const [, , height, width] = x.shape as readonly [number, number, number, number];
    const options = geometryOf(node);
    return [convTranspose(g, weights, [height, width], options), weightGradient(x, g, weights.shape, options)];
  },
  convTranspose: (node, g) => {
    const [x, weights] = node.inputs as readonly [Tensor, Tensor];
    const options = geometryOf(node);
    return [conv(g, weights, options), weightGradient(g, x, weights.shape, options)];
  },
  windowProduct: (node, g) => {
    const [seen, weights, biases, x] = node.inputs as readonly [Tensor, Tensor, Tensor, Tensor];
    const windows = node.attributes as unknown as Windows;
    const [rows, columns] = positionsOf(windows);
    const positions = reshape(g, [x.shape[0]!, rows * columns, weights.shape[1]!]);
    return [
      undefined,
      matmul(seen, g, { transposeA: true }),
      sumRows(g, biases.shape),
      imageGradient(positions, weights, windows),
    ];
  },
  gather: (node, g) => {
    const [x, indices] = node.inputs as readonly [Tensor, Tensor];
    return [gatherGradient(g, x.shape[1]!, indices.node.data as Int32Array), undefined];
  },
  reshape: (node, g) => [reshape(g, node.inputs[0]!.shape)],
  transpose: (node, g) => {
    const order = node.attributes["perm"] as readonly number[];
    return [
      transpose(
        g,
        order.map((_, axis) => order.indexOf(axis)),
      ),
    ];
  },
  split: (node, _g, gradients) => [
    concat(
      node.outputs.map((output, i) => gradients[i] ?? zeros(output.shape)),
      node.attributes["axis"] as number,
    ),
  ],
  concat: (node, g) => {
    const axis = node.attributes["axis"] as number;
    return split(
      g,
      node.inputs.map((x) => x.shape[axis]!),
      axis,
    );
  },
  expand: (node, g) => [unbroadcast(g, node.inputs[0]!.shape)],
  where: (node, g) => {
    const [condition, a, b] = node.inputs as readonly [Tensor, Tensor, Tensor];
    return [undefined, unbroadcast(where(condition, g, 0), a.shape), unbroadcast(where(condition, 0, g), b.shape)];
  },
};

/**
 * Reverse-mode differentiation as a graph transformation: tensors that compute d loss / d target for each target.
 * `loss` has one element. A target on which the loss does not depend has the gradient 0.
 */
export function gradient(loss: Tensor, targets: readonly Tensor[]): Tensor[] {
  if (elementsOf(loss.shape) !== 1 || loss.dtype !== "float32") {
    throw new ShapeError("gradient", `the loss is one float32 number, got ${loss.dtype} [${loss.shape.join(", ")}]`);
  }
  const nodes = sortNodes([loss]);
  const needed = new Set<Node>(targets.map((target) => target.node));
  for (const node of nodes) {
    if (node.operation !== "stopGradient" && node.inputs.some((x) => needed.has(x.node))) needed.add(node);
  }
  const gradients = new Map<Node, (Tensor | undefined)[]>();
  const accumulate = (x: Tensor, g: Tensor): void => {
    const held = gradients.get(x.node) ?? x.node.outputs.map(() => undefined);
    const before = held[x.index];
    held[x.index] = before ? add(before, g) : g;
    gradients.set(x.node, held);
  };
  accumulate(loss, expand(constant(1), loss.shape));
  for (const node of nodes.toReversed()) {
    const held = gradients.get(node);
    if (!held || !needed.has(node) || node.inputs.length === 0) continue;
    const incoming = pullbacks[node.operation](node, held[0] ?? zeros(node.outputs[0]!.shape), held);
    for (const [i, x] of node.inputs.entries()) {
      const g = incoming[i];
      if (g && needed.has(x.node)) accumulate(x, g);
    }
  }
  return targets.map((target) => gradients.get(target.node)?.[target.index] ?? zeros(target.shape));
}
