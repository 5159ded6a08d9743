import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { stream } from "../../src/random/pcg64.ts";
import { input, mul, sum } from "../../src/tensor/graph.ts";
import {
  adam,
  adamTensorFlow,
  type Optimizer,
  rmsPropTensorFlow,
  rmsPropTorch,
  sgd,
} from "../../src/tensor/optimizer.ts";
import { Trainer } from "../../src/tensor/trainer.ts";
import { hasPackages, python } from "../environment/fixtures/python.ts";

/** A loss that is linear in the parameters, with coefficients that are fed: its gradient is what is fed. */
async function descend(
  optimizer: Optimizer,
  start: readonly number[],
  gradients: readonly (readonly number[])[],
  rates: readonly number[],
  maxGradientNorm?: number,
): Promise<number[][]> {
  const slope = input([start.length]);
  const trainer = await Trainer.create({
    size: start.length,
    inputs: { slope },
    objective: (parameters) => ({ loss: sum(mul(parameters, slope)) }),
    optimizer,
    ...(maxGradientNorm !== undefined && { maxGradientNorm }),
  });
  trainer.restart(Float32Array.from(start));
  const path: number[][] = [];
  for (const [step, values] of gradients.entries()) {
    trainer.program.floats("slope").set(values);
    await trainer.update(rates[step]!);
    path.push([...trainer.parameters]);
  }
  await trainer.dispose();
  return path;
}

// Two steps from 1 with gradients 0.5 and -0.25 and learning rate 0.1, by hand.
it.each<[string, Optimizer, number, number]>([
  // m / 0.1 = 0.5, v / 0.001 = 0.25: 0.1 * 0.5 / (0.5 + 0.1).
  // m = 0.02, m / 0.19 = 0.105263; v = 0.00031225, v / 0.001999 = 0.156203: 0.1 * 0.105263 / (0.395225 + 0.1).
  ["Adam adds epsilon to the corrected root", adam({ epsilon: 0.1 }), 0.0833333, 0.0212556],
  // Rate 0.1 * sqrt(0.001) / 0.1 = 0.0316228: 0.0316228 * 0.05 / (sqrt(0.00025) + 0.1).
  // Rate 0.1 * sqrt(0.001999) / 0.19 = 0.0235317: 0.0235317 * 0.02 / (sqrt(0.00031225) + 0.1).
  ["TensorFlow's Adam adds it to the root as it is", adamTensorFlow({ epsilon: 0.1 }), 0.0136527, 0.0039995],
  // 0.9 * 1 + 0.1 * 0.25 = 0.925: 0.05 / sqrt(0.925 + 0.1); 0.9 * 0.925 + 0.1 * 0.0625 = 0.83875.
  ["TensorFlow's RMSProp starts at 1, epsilon in the root", rmsPropTensorFlow({ epsilon: 0.1 }), 0.0493865, -0.0258027],
  // 0.01 * 0.25 = 0.0025: 0.05 / (0.05 + 0.1); 0.99 * 0.0025 + 0.01 * 0.0625 = 0.0031: -0.025 / (0.0556776 + 0.1).
  ["PyTorch's RMSProp starts at 0, epsilon beside the root", rmsPropTorch({ epsilon: 0.1 }), 0.3333333, -0.1605883],
  ["SGD follows the gradient", sgd(), 0.05, -0.025],
  // Velocity 0.5, then 0.9 * 0.5 - 0.25 = 0.2.
  ["momentum adds up", sgd({ momentum: 0.9 }), 0.05, 0.02],
])("%s", async (_name, optimizer, first, second) => {
  const path = await descend(optimizer, [1], [[0.5], [-0.25]], [0.1, 0.1]);
  expect(path[0]![0]).toBeCloseTo(1 - first, 6);
  expect(path[1]![0]).toBeCloseTo(1 - first - second, 6);
});

describe("a limit of the gradient's norm", () => {
  it("scales a longer gradient down to it, all elements alike", async () => {
    const [after] = await descend(sgd(), [0, 0], [[3, -4]], [1], 1);
    expect(after![0]).toBeCloseTo(-0.6, 6);
    expect(after![1]).toBeCloseTo(0.8, 6);
  });

  it("leaves a shorter one as it is", async () => {
    expect(await descend(sgd(), [0, 0], [[3, -4]], [1], 5.1)).toEqual([[-3, 4]]);
  });

  it("leaves a gradient of zeros as it is", async () => {
    expect(await descend(sgd(), [0, 0], [[0, 0]], [1], 1)).toEqual([[0, 0]]);
  });
});

it("Adam moves by the learning rate at first, however small or large the gradient", async () => {
  const [after] = await descend(adam(), [0, 0, 0], [[1e-4, -1, 1e4]], [0.01]);
  for (const [i, expected] of [-0.01, 0.01, -0.01].entries()) expect(after![i]).toBeCloseTo(expected, 5);
});

const random = stream(0, "optimizers");
const start = Array.from({ length: 6 }, () => random.normal());
const gradients = Array.from({ length: 20 }, (_, step) => start.map(() => random.normal() * 10 ** ((step % 5) - 2)));
const rates = gradients.map((_, step) => 0.05 / (1 + step));

function expectPath(actual: number[][], expected: number[][]): void {
  for (const [step, values] of actual.entries()) {
    for (const [i, value] of values.entries()) {
      const wanted = expected[step]![i]!;
      const error = Math.abs(value - wanted) / (1 + Math.abs(wanted));
      expect(error, `step ${step}: ${value}, expected ${wanted}`).toBeLessThan(1e-5);
    }
  }
}

it("TensorFlow's forms follow their definitions over 20 steps", async () => {
  const loop = (next: (x: number, g: number, rate: number, step: number, state: [number, number]) => number) => {
    const states = start.map((): [number, number] => [0, 1]);
    let x = start.map(Math.fround);
    return gradients.map((slope, step) => {
      x = x.map((value, i) => next(value, slope[i]!, rates[step]!, step + 1, states[i]!));
      return x;
    });
  };
  const adamPath = loop((x, g, rate, step, state) => {
    const v = step === 1 ? 0 : state[1];
    state[0] = 0.9 * state[0] + 0.1 * g;
    state[1] = 0.999 * v + 0.001 * g * g;
    return x - (((rate * Math.sqrt(1 - 0.999 ** step)) / (1 - 0.9 ** step)) * state[0]) / (Math.sqrt(state[1]) + 1e-3);
  });
  const rmsPath = loop((x, g, rate, _step, state) => {
    state[1] = 0.9 * state[1] + 0.1 * g * g;
    return x - (rate * g) / Math.sqrt(state[1] + 1e-10);
  });
  expectPath(await descend(adamTensorFlow({ epsilon: 1e-3 }), start, gradients, rates), adamPath);
  expectPath(await descend(rmsPropTensorFlow(), start, gradients, rates), rmsPath);
});

const hasTorch = hasPackages(["torch"]);

it.skipIf(!hasTorch)("PyTorch walks the same paths over 20 steps (needs Python with torch)", async () => {
  const program = `
import json, sys, torch
start, gradients, rates = json.load(sys.stdin)
def walk(make, limit=None):
    x = torch.nn.Parameter(torch.tensor(start))
    optimizer = make([x])
    path = []
    for gradient, rate in zip(gradients, rates):
        x.grad = torch.tensor(gradient)
        if limit is not None:
            torch.nn.utils.clip_grad_norm_([x], limit)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        path.append(x.tolist())
    return path
o = torch.optim
print(json.dumps([
    walk(lambda p: o.Adam(p)),
    walk(lambda p: o.Adam(p, betas=(0.8, 0.99), eps=1e-2), 2.0),
    walk(lambda p: o.RMSprop(p)),
    walk(lambda p: o.RMSprop(p, alpha=0.9, eps=1e-2)),
    walk(lambda p: o.SGD(p)),
    walk(lambda p: o.SGD(p, momentum=0.9), 0.5),
]))`;
  const { stdout, stderr } = spawnSync(python, ["-c", program], {
    input: JSON.stringify([start, gradients, rates]),
    encoding: "utf8",
  });
  expect(stderr).toBe("");
  const paths = JSON.parse(stdout) as number[][][];
  const ours: [Optimizer, number?][] = [
    [adam()],
    [adam({ beta1: 0.8, beta2: 0.99, epsilon: 1e-2 }), 2],
    [rmsPropTorch()],
    [rmsPropTorch({ alpha: 0.9, epsilon: 1e-2 })],
    [sgd()],
    [sgd({ momentum: 0.9 }), 0.5],
  ];
  expect(paths).toHaveLength(ours.length);
  for (const [i, [optimizer, limit]] of ours.entries()) {
    expectPath(await descend(optimizer, start, gradients, rates, limit), paths[i]!);
  }
});
