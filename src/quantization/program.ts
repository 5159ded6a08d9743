import { argmax, boundActions } from "../network/action.ts";
import { inputSize, outputSize } from "../network/architecture.ts";
import type { Forward } from "../network/black-box.ts";
import type { FixedPoint } from "./fixed-point.ts";
import { fixedPredictor } from "./run.ts";

/** A network in whole numbers for batches of one size: its observations are read, its outputs and greedy actions left, as real numbers. */
export class FixedProgram implements Forward {
  readonly #fixed: FixedPoint;
  readonly #predict: ReturnType<typeof fixedPredictor>;
  readonly #outputs: Float32Array;
  readonly #actions: Int32Array | Float32Array;
  #observations = new Float32Array();

  constructor(fixed: FixedPoint, batch: number) {
    const size = outputSize(fixed.architecture);
    this.#fixed = fixed;
    this.#predict = fixedPredictor(fixed);
    this.#outputs = new Float32Array(batch * size);
    this.#actions = fixed.architecture.gaussian ? new Float32Array(batch * size) : new Int32Array(batch);
  }

  bind(_: "observations", values: Float32Array): void {
    this.#observations = values as Float32Array<ArrayBuffer>;
  }

  floats(name: string): Float32Array {
    return name === "actions" && this.#actions instanceof Float32Array ? this.#actions : this.#outputs;
  }

  ints(): Int32Array {
    return this.#actions instanceof Int32Array ? this.#actions : new Int32Array();
  }

  run(): Promise<void> {
    const { architecture, scale } = this.#fixed;
    const width = inputSize(architecture);
    const size = outputSize(architecture);
    for (let row = 0; row * width < this.#observations.length; row++) {
      const whole = this.#predict(this.#observations.subarray(row * width, (row + 1) * width));
      for (const [j, value] of whole.entries()) this.#outputs[row * size + j] = Math.fround(value) * scale;
      // Of whole numbers: float32 does not hold all of them apart.
      if (this.#actions instanceof Int32Array) this.#actions[row] = argmax(whole);
    }
    if (this.#actions instanceof Float32Array) {
      this.#actions.set(this.#outputs);
      boundActions(architecture, this.#actions);
    }
    return Promise.resolve();
  }

  dispose(): Promise<void> {
    return Promise.resolve();
  }
}
