import fc from "fast-check";
import { expect, it } from "vitest";
import { NumericError, ShapeError } from "../../src/errors.ts";
import { stream } from "../../src/random/pcg64.ts";
import { input, log, matmul, mean, reshape, square, sub, sum, tanh } from "../../src/tensor/graph.ts";
import {
  adam,
  adamTensorFlow,
  type Optimizer,
  rmsPropTensorFlow,
  rmsPropTorch,
  sgd,
} from "../../src/tensor/optimizer.ts";
import { Trainer } from "../../src/tensor/trainer.ts";

const optimizers: Record<string, () => Optimizer> = {
  adam,
  adamTensorFlow,
  rmsPropTensorFlow,
  rmsPropTorch,
  sgd,
  momentum: () => sgd({ momentum: 0.9 }),
};

/** mean (tanh(x W) - y)^2 of a 3-2 network without biases, batch 4. */
async function regression(optimizer: Optimizer): Promise<Trainer> {
  const x = input([4, 3]);
  const y = input([4, 2]);
  const trainer = await Trainer.create({
    size: 6,
    inputs: { x, y },
    objective: (parameters) => {
      const outputs = tanh(matmul(x, reshape(parameters, [3, 2])));
      return { loss: mean(square(sub(outputs, y))), outputs: { outputs } };
    },
    optimizer,
    maxGradientNorm: 1,
  });
  trainer.restart(Float32Array.of(0.1, -0.2, 0.3, -0.4, 0.5, -0.6));
  return trainer;
}

/** Updates `from` to `to` - 1 of one sequence of batches and learning rates; their losses. */
async function train(trainer: Trainer, from: number, to: number): Promise<number[]> {
  const losses: number[] = [];
  for (let step = from; step < to; step++) {
    const random = stream(step, "batch");
    for (const name of ["x", "y"]) {
      const values = trainer.program.floats(name);
      for (let i = 0; i < values.length; i++) values[i] = random.uniform(-1, 1);
    }
    losses.push(await trainer.update(0.05 / (1 + step)));
  }
  return losses;
}

it("makes the loss smaller", async () => {
  const x = input([2]);
  const trainer = await Trainer.create({
    size: 2,
    inputs: { x },
    objective: (parameters) => ({ loss: sum(square(sub(parameters, x))) }),
    optimizer: sgd(),
  });
  trainer.program.floats("x").set([1, -3]);
  // Every step of 0.25 on (p - x)^2 halves the distance: losses 10, 2.5, 0.625.
  expect([await trainer.update(0.25), await trainer.update(0.25), await trainer.update(0.25)]).toEqual([
    10, 2.5, 0.625,
  ]);
  expect([...trainer.parameters]).toEqual([0.875, -2.625]);
  expect(trainer.steps).toBe(3);
  await trainer.dispose();
});

it("gives other results of a step, of the parameters before it", async () => {
  const trainer = await regression(sgd());
  trainer.program.floats("x").fill(0.5);
  await trainer.update(1);
  // Rows of 0.5: tanh(0.5 * (0.1 + 0.3 + 0.5)) and tanh(0.5 * (-0.2 - 0.4 - 0.6)).
  expect(trainer.program.floats("outputs")[0]).toBeCloseTo(Math.tanh(0.45), 6);
  expect(trainer.program.floats("outputs")[1]).toBeCloseTo(Math.tanh(-0.6), 6);
  await trainer.dispose();
});

it.each(Object.entries(optimizers))("goes on from a state to the same bits, with %s", async (_name, optimizer) => {
  const length = fc.integer({ min: 0, max: 4 });
  const first = await regression(optimizer());
  const second = await regression(optimizer());
  const begin = first.getState();
  await fc.assert(
    fc.asyncProperty(length, length, async (before, after) => {
      first.setState(begin);
      await train(first, 0, before);
      const state = first.getState();
      const losses = await train(first, before, before + after);
      await train(second, 0, 3);
      second.setState(structuredClone(state));
      expect(second.steps).toBe(before);
      expect(await train(second, before, before + after)).toEqual(losses);
      expect(second.getState()).toEqual(first.getState());
    }),
    { numRuns: 10 },
  );
  await first.dispose();
  await second.dispose();
});

it("has a state that later updates leave alone", async () => {
  const trainer = await regression(adam());
  await train(trainer, 0, 2);
  const state = trainer.getState();
  const copy = structuredClone(state);
  await train(trainer, 2, 5);
  expect(state).toEqual(copy);
  await trainer.dispose();
});

it("forgets moments and steps when it starts anew", async () => {
  const trainer = await regression(adam());
  const start = trainer.parameters.slice();
  const losses = await train(trainer, 0, 3);
  trainer.restart(start);
  expect(trainer.steps).toBe(0);
  expect(await train(trainer, 0, 3)).toEqual(losses);
  await trainer.dispose();
});

it("starts from a copy of the parameters", async () => {
  const trainer = await regression(sgd());
  const start = new Float32Array(6).fill(0.5);
  trainer.restart(start);
  await train(trainer, 0, 3);
  expect([...start]).toEqual(Array.from({ length: 6 }, () => 0.5));
  await trainer.dispose();
});

it("reports a loss that is not finite, and can be repaired from a state", async () => {
  const trainer = await Trainer.create({
    size: 1,
    inputs: {},
    objective: (parameters) => ({ loss: sum(log(parameters)) }),
    optimizer: adam(),
  });
  trainer.restart(Float32Array.of(0.1));
  const state = trainer.getState();
  // log has the derivative 10 at 0.1; Adam's first step is the learning rate.
  await trainer.update(0.2);
  const message = "the loss of training step 2 is NaN; lower the learning rate";
  await expect(trainer.update(0.2)).rejects.toThrow(new NumericError(message));
  trainer.setState(state);
  expect(await trainer.update(0.01)).toBeCloseTo(Math.log(0.1), 6);
  await trainer.dispose();
});

it("refuses parameters of another length", async () => {
  const trainer = await regression(sgd());
  expect(() => {
    trainer.restart(new Float32Array(5));
  }).toThrow(new ShapeError("trainer", "takes 6 parameters, got 5"));
  await trainer.dispose();
});

it("refuses the state of another optimiser and stays as it is", async () => {
  const trainer = await regression(adam());
  const other = await regression(sgd());
  await train(trainer, 0, 2);
  const before = trainer.getState();
  expect(() => {
    trainer.setState(other.getState());
  }).toThrow(new ShapeError("trainer", "takes 2 moments of 6 numbers, got []"));
  expect(trainer.getState()).toEqual(before);
  await trainer.dispose();
  await other.dispose();
});

it("refuses a loss that is not one number", async () => {
  const trainer = Trainer.create({ size: 2, inputs: {}, objective: (loss) => ({ loss }), optimizer: sgd() });
  const message = "the loss is one float32 number, got float32 [2]";
  await expect(trainer).rejects.toThrow(new ShapeError("gradient", message));
});
