import type { Shape, Tensor } from "../../src/tensor/graph.ts";

export type Values = ArrayLike<number>;

/** Row-major coordinates of every element. */
function coordinatesOf(shape: Shape): number[][] {
  return shape.reduce<number[][]>(
    (all, size) => all.flatMap((before) => Array.from({ length: size }, (_, i) => [...before, i])),
    [[]],
  );
}

/** Flat index of an element; axes of size 1 are read at 0 and missing leading axes are left out, as in NumPy. */
function flat(shape: Shape, coordinates: readonly number[]): number {
  const own = coordinates.slice(coordinates.length - shape.length);
  return shape.reduce((index, size, axis) => index * size + (size === 1 ? 0 : own[axis]!), 0);
}

const unary = {
  neg: (x: number) => -x,
  relu: (x: number) => Math.max(0, x),
  tanh: Math.tanh,
  sigmoid: (x: number) => 1 / (1 + Math.exp(-x)),
  exp: Math.exp,
  log: Math.log,
  sqrt: Math.sqrt,
  abs: Math.abs,
  stopGradient: (x: number) => x,
};

const binary = {
  add: (a: number, b: number) => a + b,
  sub: (a: number, b: number) => a - b,
  mul: (a: number, b: number) => a * b,
  div: (a: number, b: number) => a / b,
  minimum: (a: number, b: number) => Math.min(a, b),
  maximum: (a: number, b: number) => Math.max(a, b),
  greater: (a: number, b: number) => Number(a > b),
  less: (a: number, b: number) => Number(a < b),
  equal: (a: number, b: number) => Number(a === b),
};

const has = <Key extends string>(table: Record<Key, unknown>, key: string): key is Key => Object.hasOwn(table, key);

const total = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

const reducers = {
  sum: total,
  mean: (values: readonly number[]): number => total(values) / values.length,
  max: (values: readonly number[]): number => Math.max(...values),
};

/**
 * Computes tensors in float64, element by element from the definition of each operation: an implementation that shares
 * nothing with ONNX Runtime. Tensors in `known` have the given values.
 */
export function interpret(root: Tensor, known: ReadonlyMap<Tensor, Values>): Values {
  const memory = new Map<Tensor, Values>(known);
  const valuesOf = (tensor: Tensor): Values => {
    const held = memory.get(tensor) ?? compute(tensor);
    memory.set(tensor, held);
    return held;
  };

  function compute(tensor: Tensor): Values {
    const { node, shape } = tensor;
    const { operation, inputs, attributes } = node;
    const at = (i: number, coordinates: readonly number[]): number =>
      valuesOf(inputs[i]!)[flat(inputs[i]!.shape, coordinates)]!;
    const all = coordinatesOf(shape);
    if (has(unary, operation)) return all.map((c) => unary[operation](at(0, c)));
    if (has(binary, operation)) return all.map((c) => binary[operation](at(0, c), at(1, c)));
    const rowOf = (c: readonly number[]): number[] => {
      const { shape: whole } = inputs[0]!;
      return Array.from({ length: whole.at(-1)! }, (_, i) => at(0, [...c.slice(0, whole.length - 1), i]));
    };

    switch (operation) {
      case "constant":
        return [...node.data!];
      case "softmax":
        return all.map((c) => Math.exp(at(0, c)) / total(rowOf(c).map(Math.exp)));
      case "logSoftmax":
        return all.map((c) => at(0, c) - Math.log(total(rowOf(c).map(Math.exp))));
      case "argmax":
        return all.map((c) => rowOf(c).indexOf(Math.max(...rowOf(c))));
      case "gemm": {
        const [a, b] = [attributes["transA"] === 1, attributes["transB"] === 1];
        const inner = inputs[0]!.shape[a ? 0 : 1]!;
        return all.map(([i, j]) => {
          const products = Array.from(
            { length: inner },
            (_, k) => at(0, a ? [k, i!] : [i!, k]) * at(1, b ? [j!, k] : [k, j!]),
          );
          return total(products) + (inputs[2] ? at(2, [i!, j!]) : 0);
        });
      }
      case "conv":
      case "convTranspose": {
        const { strides, dilations, pads } = attributes as unknown as Record<string, readonly number[]>;
        const [images, weights] = inputs.map((tensor) => tensor.shape) as [Shape, Shape];
        // Element (b, f, i, j) of a convolution's result meets (b, c, y, x) of its images at (f, c, k, l) of the weights.
        const [large, small] = operation === "conv" ? [images, shape] : [shape, images];
        const result = all.map(() => 0);
        const windows = coordinatesOf([
          small[0]!,
          small[1]!,
          small[2]!,
          small[3]!,
          large[1]!,
          weights[2]!,
          weights[3]!,
        ]);
        for (const [b, f, i, j, c, k, l] of windows as [number, number, number, number, number, number, number][]) {
          const y = i * strides![0]! + k * dilations![0]! - pads![0]!;
          const x = j * strides![1]! + l * dilations![1]! - pads![1]!;
          if (y < 0 || x < 0 || y >= large[2]! || x >= large[3]!) continue;
          const [from, to] =
            operation === "conv"
              ? [
                  [b, c, y, x],
                  [b, f, i, j],
                ]
              : [
                  [b, f, i, j],
                  [b, c, y, x],
                ];
          result[flat(shape, to)]! += at(0, from) * at(1, [f, c, k, l]);
        }
        return result;
      }
      case "gather":
        return all.map(([batch, i, channel]) => at(0, [batch!, at(1, [i!]), channel!]));
      case "windowProduct": {
        // From the images, which are the last input: what the windows saw, the first one, is not taken.
        const { size, kernel, strides, pads } = attributes as unknown as Record<string, readonly [number, number]>;
        const [height, width] = size!;
        const channels = inputs[3]!.shape[2]!;
        const across = Math.floor((width + pads![1] + Number(pads!.at(3)) - kernel![1]) / strides![1]) + 1;
        const positions = shape[0]! / inputs[3]!.shape[0]!;
        return all.map(([row, filter]) => {
          const [batch, position] = [Math.floor(row! / positions), row! % positions];
          const terms = coordinatesOf([...kernel!, channels]).map(([k, l, c], element) => {
            const y = Math.floor(position / across) * strides![0] + k! - pads![0];
            const x = (position % across) * strides![1] + l! - pads![1];
            if (y < 0 || x < 0 || y >= height || x >= width) return 0;
            return at(3, [batch, y * width + x, c!]) * at(1, [element, filter!]);
          });
          return total(terms) + at(2, [filter!]);
        });
      }
      case "sum":
      case "mean":
      case "max": {
        const axes = attributes["axes"] as Shape;
        const groups = all.map((): number[] => []);
        for (const c of coordinatesOf(inputs[0]!.shape)) {
          const kept = attributes["keepdims"] === 1 ? c.map((i, axis) => (axes.includes(axis) ? 0 : i)) : undefined;
          const to = kept ?? c.filter((_, axis) => !axes.includes(axis));
          groups[flat(shape, to)]!.push(at(0, c));
        }
        return groups.map(reducers[operation]);
      }
      case "reshape":
        return valuesOf(inputs[0]!);
      case "transpose": {
        const order = attributes["perm"] as Shape;
        return all.map((c) =>
          at(
            0,
            order.map((_, axis) => c[order.indexOf(axis)]!),
          ),
        );
      }
      case "split": {
        const axis = attributes["axis"] as number;
        const start = total((attributes["split"] as Shape).slice(0, tensor.index));
        return all.map((c) => at(0, c.with(axis, start + c[axis]!)));
      }
      case "concat": {
        const axis = attributes["axis"] as number;
        return all.map((c) => {
          let rest = c[axis]!;
          let part = 0;
          while (rest >= inputs[part]!.shape[axis]!) rest -= inputs[part++]!.shape[axis]!;
          return at(part, c.with(axis, rest));
        });
      }
      case "expand":
        return all.map((c) => at(0, c));
      case "where":
        return all.map((c) => (at(0, c) !== 0 ? at(1, c) : at(2, c)));
      case "cast":
        return all.map((c) => {
          const x = at(0, c);
          return tensor.dtype === "bool" ? Number(x !== 0) : tensor.dtype === "int32" ? Math.trunc(x) : x;
        });
      case "input":
        throw new Error(`an input of shape [${shape.join(", ")}] has no value`);
    }
  }
  return valuesOf(root);
}
