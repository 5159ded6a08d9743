import { argmax, boundActions } from "../network/action.ts";
import { inputSize, outputSize } from "../network/architecture.ts";
import { Decider } from "../network/black-box.ts";
import type { FixedPoint } from "./fixed-point.ts";
import { fixedPredictor } from "./run.ts";

/** A network in whole numbers for batches of one size: it leaves outputs and greedy actions as real numbers. */
export function fixedProgram(fixed: FixedPoint, batch: number): Decider {
  const { architecture, scale } = fixed;
  const predict = fixedPredictor(fixed);
  const width = inputSize(architecture);
  const size = outputSize(architecture);
  return new Decider(architecture, batch, (observations, outputs, actions) => {
    for (let row = 0; row < batch; row++) {
      const whole = predict(observations.subarray(row * width, (row + 1) * width));
      for (const [j, value] of whole.entries()) outputs[row * size + j] = Math.fround(value) * scale;
      // Of whole numbers: float32 does not hold all of them apart.
      if (actions instanceof Int32Array) actions[row] = argmax(whole);
    }
    if (actions instanceof Float32Array) {
      actions.set(outputs);
      boundActions(architecture, actions);
    }
  });
}
