import { NumericError, ShapeError } from "../errors.ts";
import type { Plain } from "../plain.ts";
import { gradient } from "./gradient.ts";
import { input, split, type Tensor } from "./graph.ts";
import { clipByGlobalNorm, type Optimizer } from "./optimizer.ts";
import { Program } from "./program.ts";

export interface TrainerSpec {
  /** Length of the flat parameter vector. */
  readonly size: number;
  /** The loss, one number, as an expression of the parameters, and other results wanted from a step; all of them before its update. */
  readonly objective: (parameters: Tensor) => {
    readonly loss: Tensor;
    readonly outputs?: Readonly<Record<string, Tensor>>;
  };
  /** Inputs of the loss beside the parameters. */
  readonly inputs: Readonly<Record<string, Tensor>>;
  readonly optimizer: Optimizer;
  /** Limit of the gradient's Euclidean norm; none when not given. */
  readonly maxGradientNorm?: number;
}

/**
 * A training step compiled into one program: forward, loss, backward and optimiser on the flat parameter vector. Its whole
 * state is the parameters, the moments and the step count.
 */
export class Trainer {
  readonly program: Program;
  readonly #optimizer: Optimizer;
  readonly #size: number;
  #steps = 0;

  private constructor(program: Program, spec: TrainerSpec) {
    this.program = program;
    this.#optimizer = spec.optimizer;
    this.#size = spec.size;
    this.#resetMoments();
  }

  static async create(spec: TrainerSpec): Promise<Trainer> {
    const { optimizer } = spec;
    const parameters = input([spec.size]);
    const objective = spec.objective(parameters);
    const raw = gradient(objective.loss, [parameters])[0]!;
    const limited = spec.maxGradientNorm === undefined ? raw : clipByGlobalNorm(raw, spec.maxGradientNorm);
    const moments = optimizer.moments.map(() => input([spec.size]));
    const count = optimizer.coefficients(1, 1).length;
    const coefficients = input([count]);
    const scalars = split(
      coefficients,
      Array.from({ length: count }, () => 1),
    );
    const [next, nextMoments] = optimizer.apply(parameters, limited, moments, scalars);
    const state: Record<string, readonly [Tensor, Tensor]> = { parameters: [parameters, next] };
    for (const [i, { name }] of optimizer.moments.entries()) state[name] = [moments[i]!, nextMoments[i]!];
    const program = await Program.compile({
      inputs: { ...spec.inputs, coefficients },
      outputs: { ...objective.outputs, loss: objective.loss },
      state,
    });
    return new Trainer(program, spec);
  }

  /** Updates made. */
  get steps(): number {
    return this.#steps;
  }

  /** The present parameters. Two buffers take turns: this one is written over by the update after the next. Copy to keep. */
  get parameters(): Float32Array {
    return this.program.floats("parameters");
  }

  /** Replaces the parameters (copied) and starts the optimiser anew. */
  restart(parameters: Float32Array): void {
    if (parameters.length !== this.#size) {
      throw new ShapeError("trainer", `takes ${this.#size} parameters, got ${parameters.length}`);
    }
    this.parameters.set(parameters);
    this.#steps = 0;
    this.#resetMoments();
  }

  #resetMoments(): void {
    for (const { name, initial } of this.#optimizer.moments) this.program.floats(name).fill(initial);
  }

  /**
   * One update at the given learning rate; returns the loss before it.
   * @throws NumericError when the loss is not finite. The parameters are then spoiled: `restart` or `setState` repairs them.
   */
  async update(rate: number): Promise<number> {
    this.#steps++;
    this.program.floats("coefficients").set(this.#optimizer.coefficients(rate, this.#steps));
    await this.program.run();
    const loss = this.program.floats("loss")[0]!;
    if (!Number.isFinite(loss)) {
      throw new NumericError(`the loss of training step ${this.#steps} is ${loss}; lower the learning rate`);
    }
    return loss;
  }

  getState(): TrainerState {
    const moments = this.#optimizer.moments.map(({ name }) => this.program.floats(name).slice());
    return { steps: this.#steps, parameters: this.parameters.slice(), moments };
  }

  /** @throws ShapeError when the state is of other parameters or of another optimiser. The trainer is then unchanged. */
  setState(state: TrainerState): void {
    const { moments } = this.#optimizer;
    if (state.moments.length !== moments.length || state.moments.some(({ length }) => length !== this.#size)) {
      const found = state.moments.map(({ length }) => length).join(", ");
      throw new ShapeError("trainer", `takes ${moments.length} moments of ${this.#size} numbers, got [${found}]`);
    }
    this.restart(state.parameters);
    this.#steps = state.steps;
    for (const [i, { name }] of moments.entries()) this.program.floats(name).set(state.moments[i]!);
  }

  async dispose(): Promise<void> {
    await this.program.dispose();
  }
}

export interface TrainerState {
  readonly [key: string]: Plain;
  readonly steps: number;
  readonly parameters: Float32Array;
  readonly moments: readonly Float32Array[];
}
