import { NumericError, reasonOf, ShapeError } from "../errors.ts";
import { input } from "../tensor/graph.ts";
import { ModelSession } from "../tensor/model-session.ts";
import { Program } from "../tensor/program.ts";
import { type Actions, greedyActions } from "./action.ts";
import { type Architecture, inputSize, outputSize } from "./architecture.ts";
import type { BlackBox } from "./policy.ts";
import { normalizer } from "./predict.ts";

/** A network for batches of one size: reads `observations`, leaves `outputs` and greedy `actions`. */
export type Forward = Pick<Program, "bind" | "floats" | "ints" | "run" | "dispose">;

/** What decides about a batch by other means than a compiled program: it writes outputs, and greedy actions. */
type Decide = (observations: Float32Array, outputs: Float32Array, actions: Actions) => Promise<void> | void;

/** That in the place of a program, for batches of one size. */
export class Decider implements Forward {
  readonly #decide: Decide;
  readonly #free: () => Promise<void>;
  readonly #outputs: Float32Array;
  readonly #actions: Actions;
  #observations = new Float32Array();

  /** @param free frees what decides, where that is not left to whoever made it */
  constructor(
    architecture: Architecture,
    batch: number,
    decide: Decide,
    free = (): Promise<void> => Promise.resolve(),
  ) {
    const size = outputSize(architecture);
    this.#decide = decide;
    this.#free = free;
    this.#outputs = new Float32Array(batch * size);
    this.#actions = architecture.gaussian ? new Float32Array(batch * size) : new Int32Array(batch);
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

  async run(): Promise<void> {
    await this.#decide(this.#observations, this.#outputs, this.#actions);
  }

  dispose(): Promise<void> {
    return this.#free();
  }
}

/** A black box for batches of one size, which it runs in parts of as many rows as it takes at once. */
export class BlackBoxProgram implements Forward {
  readonly #session: ModelSession;
  readonly #greedy: Program;
  readonly #width: number;
  readonly #normalize: ((observation: Float32Array) => Float32Array) | undefined;
  #observations: Float32Array;
  readonly #normalized: Float32Array;

  private constructor(session: ModelSession, greedy: Program, { architecture }: BlackBox, batch: number) {
    this.#session = session;
    this.#greedy = greedy;
    this.#width = inputSize(architecture);
    this.#normalize = architecture.normalization && normalizer(architecture);
    this.#observations = new Float32Array(batch * this.#width);
    this.#normalized = new Float32Array(architecture.normalization ? batch * this.#width : 0);
  }

  /** @throws Error when ONNX Runtime refuses the model */
  static async compile(box: BlackBox, batch: number): Promise<BlackBoxProgram> {
    const { architecture, model, rows } = box;
    const session = await ModelSession.open(model, Math.min(rows, batch));
    const outputs = input([batch, architecture.outputs]);
    const actions = greedyActions(architecture, outputs);
    return new BlackBoxProgram(
      session,
      await Program.compile({ inputs: { outputs }, outputs: { actions } }),
      box,
      batch,
    );
  }

  bind(name: string, values: Float32Array): void {
    if (name !== "observations" || values.length !== this.#observations.length) {
      throw new ShapeError(
        "black box",
        `takes ${this.#observations.length} observations, got ${values.length} ${name}`,
      );
    }
    this.#observations = values;
  }

  floats(name: string): Float32Array {
    return name === "observations" ? this.#observations : this.#greedy.floats(name);
  }

  ints(name: string): Int32Array {
    return this.#greedy.ints(name);
  }

  /** @throws NumericError when an output is NaN or infinite, or ONNX Runtime fails */
  async run(): Promise<void> {
    const { rows } = this.#session;
    const width = this.#width;
    const seen = this.#normalize ? this.#normalizedRows(this.#normalize) : this.#observations;
    const outputs = this.#greedy.floats("outputs");
    const batch = seen.length / width;
    const size = outputs.length / batch;
    try {
      for (let from = 0; from < batch; from += rows) {
        const to = Math.min(batch, from + rows);
        await this.#session.run(seen.subarray(from * width, to * width), outputs.subarray(from * size, to * size));
      }
    } catch (error) {
      throw new NumericError(`ONNX Runtime failed in the black box: ${reasonOf(error)}`, { cause: error });
    }
    const at = outputs.findIndex((value) => !Number.isFinite(value));
    if (at >= 0) throw new NumericError(`the black box gives ${outputs[at]} for an observation`);
    await this.#greedy.run();
  }

  #normalizedRows(normalize: (observation: Float32Array) => Float32Array): Float32Array {
    const width = this.#width;
    for (let at = 0; at < this.#observations.length; at += width) {
      this.#normalized.set(normalize(this.#observations.subarray(at, at + width)), at);
    }
    return this.#normalized;
  }

  async dispose(): Promise<void> {
    await this.#session.dispose();
    await this.#greedy.dispose();
  }
}
