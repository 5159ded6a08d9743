import { NumericError, ShapeError } from "../errors.ts";
import type { Plain } from "../plain.ts";
import type { FusedStep } from "./fused-adam.ts";
import { gradient } from "./gradient.ts";
import { constant, input, mul, split, type Tensor } from "./graph.ts";
import { clipFactor, type Optimizer } from "./optimizer.ts";
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
 * state is the parameters, the moments and the step count. Where the optimiser has a fused kernel, the program ends with
 * the gradient and the kernel updates parameters and moments in place.
 */
export class Trainer {
  readonly program: Program;
  readonly #optimizer: Optimizer;
  readonly #size: number;
  readonly #fused: FusedStep | undefined;
  #steps = 0;

  private constructor(program: Program, spec: TrainerSpec, fused: FusedStep | undefined) {
    this.program = program;
    this.#optimizer = spec.optimizer;
    this.#size = spec.size;
    this.#fused = fused;
    this.#resetMoments();
  }

  static async create(spec: TrainerSpec): Promise<Trainer> {
    const { optimizer, size, maxGradientNorm } = spec;
    const parameters = input([size]);
    const { loss, outputs } = spec.objective(parameters);
    const raw = gradient(loss, [parameters])[0]!;
    const scale = maxGradientNorm === undefined ? constant(1) : clipFactor(raw, maxGradientNorm);
    if (optimizer.fused) {
      const program = await Program.compile({
        inputs: { ...spec.inputs, parameters },
        outputs: { ...outputs, loss, gradient: raw, scale },
      });
      const fused = optimizer.fused(size);
      program.bind("parameters", fused.parameters);
      program.bind("gradient", fused.gradient);
      return new Trainer(program, spec, fused);
    }
    const moments = optimizer.moments.map(() => input([size]));
    const count = optimizer.coefficients(1, 1).length;
    const coefficients = input([count]);
    const scalars = split(
      coefficients,
      Array.from({ length: count }, () => 1),
    );
    const limited = maxGradientNorm === undefined ? raw : mul(raw, scale);
    const [next, nextMoments] = optimizer.apply(parameters, limited, moments, scalars);
    const state: Record<string, readonly [Tensor, Tensor]> = { parameters: [parameters, next] };
    for (const [i, { name }] of optimizer.moments.entries()) state[name] = [moments[i]!, nextMoments[i]!];
    const program = await Program.compile({
      inputs: { ...spec.inputs, coefficients },
      outputs: { ...outputs, loss },
      state,
    });
    return new Trainer(program, spec, undefined);
  }

  /** Updates made. */
  get steps(): number {
    return this.#steps;
  }

  /** The present parameters, in a buffer that a later update writes over: copy to keep. */
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
    for (const [i, { initial }] of this.#optimizer.moments.entries()) this.#moment(i).fill(initial);
  }

  #moment(index: number): Float32Array {
    return this.#fused?.moments[index] ?? this.program.floats(this.#optimizer.moments[index]!.name);
  }

  /**
   * One update at the given learning rate; returns the loss before it.
   * @throws NumericError when the loss is not finite. The parameters are then spoiled: `restart` or `setState` repairs them.
   */
  async update(rate: number): Promise<number> {
    this.#steps++;
    const coefficients = this.#optimizer.coefficients(rate, this.#steps);
    if (!this.#fused) this.program.floats("coefficients").set(coefficients);
    await this.program.run();
    if (this.#fused) {
      const [rateNow, epsilon] = coefficients as readonly [number, number];
      this.#fused.step(rateNow, epsilon, this.program.floats("scale")[0]!);
    }
    const loss = this.program.floats("loss")[0]!;
    if (!Number.isFinite(loss)) {
      throw new NumericError(`the loss of training step ${this.#steps} is ${loss}; lower the learning rate`);
    }
    return loss;
  }

  getState(): TrainerState {
    const moments = this.#optimizer.moments.map((_, i) => this.#moment(i).slice());
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
    for (const [i, moment] of state.moments.entries()) this.#moment(i).set(moment);
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
