import { expect, it } from "vitest";
import { dense, parameterCount } from "../../src/network/architecture.ts";
import { forward } from "../../src/network/forward.ts";
import { initialize } from "../../src/network/parameters.ts";
import { stream } from "../../src/random/pcg64.ts";
import { input, mean, square, sub } from "../../src/tensor/graph.ts";
import { adam, adamTensorFlow, type Optimizer } from "../../src/tensor/optimizer.ts";
import { Trainer } from "../../src/tensor/trainer.ts";

/** Parameters and moments after some steps of a regression on fixed random data. */
async function train(optimizer: Optimizer, hidden: number, maxGradientNorm?: number) {
  const architecture = dense(3, [hidden], 2, "q-values", "tanh");
  const observations = input([16, 3]);
  const goals = input([16, 2]);
  const trainer = await Trainer.create({
    size: parameterCount(architecture),
    inputs: { observations, goals },
    objective: (parameters) => ({ loss: mean(square(sub(forward(architecture, parameters, observations), goals))) }),
    optimizer,
    ...(maxGradientNorm !== undefined && { maxGradientNorm }),
  });
  const random = stream(7, "fused");
  trainer.restart(initialize(architecture, "glorot", random));
  for (const name of ["observations", "goals"]) {
    const values = trainer.program.floats(name);
    for (let i = 0; i < values.length; i++) values[i] = random.normal();
  }
  for (let step = 0; step < 30; step++) await trainer.update(0.01);
  const state = trainer.getState();
  await trainer.dispose();
  return state;
}

/** The optimiser without its kernel: the graph form. */
function unfused(optimizer: Optimizer): Optimizer {
  const { moments, coefficients, apply } = optimizer;
  return { moments, coefficients, apply };
}

// 5 hidden units make 32 parameters, a multiple of the kernel's 4 lanes; 4 and 6 make 26 and 38, which are not.
for (const hidden of [4, 5, 6, 300]) {
  it(`gives the same bits as the graph form of Adam with ${hidden} hidden units`, async () => {
    expect(await train(adam(), hidden)).toStrictEqual(await train(unfused(adam()), hidden));
  });
}

it("gives the same bits as the graph form with TensorFlow's epsilon and other betas", async () => {
  const optimizer = adamTensorFlow({ beta1: 0.8, beta2: 0.99, epsilon: 1e-3 });
  expect(await train(optimizer, 5)).toStrictEqual(await train(unfused(optimizer), 5));
});

it("gives the same bits as the graph form where the gradient's norm is limited", async () => {
  expect(await train(adam(), 5, 0.01)).toStrictEqual(await train(unfused(adam()), 5, 0.01));
});
