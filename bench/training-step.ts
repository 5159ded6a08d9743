import { type Architecture, inputSize, outputSize, parameterCount } from "../src/network/architecture.ts";
import { forward } from "../src/network/forward.ts";
import { initialize } from "../src/network/parameters.ts";
import { stream } from "../src/random/pcg64.ts";
import { huber, input, mean, select, sub } from "../src/tensor/graph.ts";
import { adam } from "../src/tensor/optimizer.ts";
import { Trainer } from "../src/tensor/trainer.ts";
import { repeat } from "./measure.ts";

/** What is run: so many steps at once, after others that warm up; bytes are pixels. */
export interface Steps {
  readonly batch: number;
  readonly steps: number;
  readonly warmUp: number;
  readonly bytes?: boolean;
}

/**
 * Milliseconds of a Q-learning step on random observations: forward, Huber loss on the chosen action, backward, gradient norm
 * <= 10, Adam. Python's side is `torch_step.py`.
 */
export async function trainingStep(
  architecture: Architecture,
  { batch, steps, warmUp, bytes = false }: Steps,
): Promise<number> {
  const observations = input([batch, inputSize(architecture)], bytes ? "uint8" : "float32");
  const actions = input([batch], "int32");
  const goals = input([batch]);
  const trainer = await Trainer.create({
    size: parameterCount(architecture),
    inputs: { observations, actions, goals },
    objective: (parameters) => ({
      loss: mean(huber(sub(select(forward(architecture, parameters, observations), actions), goals))),
    }),
    optimizer: adam(),
    maxGradientNorm: 10,
  });
  const random = stream(1, "bench");
  const { program } = trainer;
  trainer.restart(initialize(architecture, "he", random));
  const seen = program.numbers("observations");
  for (let i = 0; i < seen.length; i++) seen[i] = bytes ? random.integer(256) : random.normal();
  const wanted = program.floats("goals");
  for (let i = 0; i < batch; i++) wanted[i] = random.normal();
  const choices = program.ints("actions");
  for (let i = 0; i < batch; i++) choices[i] = random.integer(outputSize(architecture));
  const run = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) await trainer.update(1e-4);
  };
  await run(warmUp);
  const { wall } = await repeat(() => run(steps));
  await trainer.dispose();
  return wall / steps;
}
