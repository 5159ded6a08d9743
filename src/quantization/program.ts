import { type Actions, argmax, boundActions } from "../network/action.ts";
import { inputSize, outputSize } from "../network/architecture.ts";
import { Decider } from "../network/black-box.ts";
import { conv } from "../tensor/convolution.ts";
import { add, input, reshape, sub } from "../tensor/graph.ts";
import { Program } from "../tensor/program.ts";
import type { FixedLayer, FixedPoint } from "./fixed-point.ts";
import { fixedPredictor, predictorBehindFirst } from "./run.ts";

/** A network in whole numbers for batches of one size: it leaves outputs and greedy actions as real numbers. */
export async function fixedProgram(fixed: FixedPoint, batch: number): Promise<Decider> {
  const { architecture, scale } = fixed;
  const size = outputSize(architecture);
  const { predict, free } = await predictorOf(fixed, batch);
  const decide = async (observations: Float32Array, outputs: Float32Array, actions: Actions) => {
    const wholeOf = await predict(observations);
    for (let row = 0; row < batch; row++) {
      const whole = wholeOf(row);
      for (const [j, value] of whole.entries()) outputs[row * size + j] = Math.fround(value) * scale;
      // Of whole numbers: float32 does not hold all of them apart.
      if (actions instanceof Int32Array) actions[row] = argmax(whole);
    }
    if (actions instanceof Float32Array) {
      actions.set(outputs);
      boundActions(architecture, actions);
    }
  };
  return new Decider(architecture, batch, decide, free);
}

interface BatchPredictor {
  /** Given a batch, what makes whole outputs of its rows. */
  readonly predict: (observations: Float32Array) => Promise<(row: number) => Int32Array>;
  readonly free: () => Promise<void>;
}

async function predictorOf(fixed: FixedPoint, batch: number): Promise<BatchPredictor> {
  const [first] = fixed.layers as readonly [FixedLayer];
  if (fixed.bytes && first.window && isExact(first)) return throughEngine(fixed, first, first.window, batch);
  const predict = fixedPredictor(fixed);
  const width = inputSize(fixed.architecture);
  return {
    predict: (observations) => Promise.resolve((row) => predict(observations.subarray(row * width, (row + 1) * width))),
    free: () => Promise.resolve(),
  };
}

/** Whole numbers up to here are float32 numbers. */
const LARGEST_EXACT = 2 ** 24;

/** Whether the sums of a layer over bytes are exact in float32, in whatever order they are made. */
function isExact({ weights, biases, inputs, zero }: FixedLayer): boolean {
  const most = Math.max(zero, 255 - zero);
  return biases.every((bias, j) => {
    const total = weights.subarray(j * inputs, (j + 1) * inputs).reduce((sum, weight) => sum + Math.abs(weight), 0);
    return total * most + Math.abs(bias) <= LARGEST_EXACT;
  });
}

/**
 * The first convolution of images, which has nearly all multiplications of a small network, by the engine in float32, where all
 * its sums are exact: bit for bit the same, several times faster.
 */
async function throughEngine(
  fixed: FixedPoint,
  first: FixedLayer,
  { kernel, stride, padding, from }: NonNullable<FixedLayer["window"]>,
  batch: number,
): Promise<BatchPredictor> {
  const { inputs, outputs, positions, zero } = first;
  const observations = input([batch, inputSize(fixed.architecture)]);
  const weights = input([outputs, inputs]);
  const biases = input([outputs]);
  const images = sub(reshape(observations, [batch, ...from]), zero);
  const filters = reshape(weights, [outputs, from[0], ...kernel]);
  const sums = add(conv(images, filters, { strides: stride, pads: padding }), reshape(biases, [outputs, 1, 1]));
  const program = await Program.compile({ inputs: { observations, weights, biases }, outputs: { sums } });
  program.floats("weights").set(first.weights);
  program.floats("biases").set(first.biases);
  const predict = predictorBehindFirst(fixed);
  const length = outputs * positions;
  return {
    predict: async (observations) => {
      program.bind("observations", observations);
      await program.run();
      const all = program.floats("sums");
      return (row) => predict(all.subarray(row * length, (row + 1) * length));
    },
    free: () => program.dispose(),
  };
}
