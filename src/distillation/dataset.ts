import type { BoxSpace, EnvironmentSpec, VectorEnvironment } from "../environment/environment.ts";
import { ShapeError } from "../errors.ts";
import { allocate } from "../memory.ts";
import { type Acting, type Actions, actionsOf, sampleAction } from "../network/action.ts";
import type { AnyArchitecture } from "../network/architecture.ts";
import type { Forward } from "../network/black-box.ts";
import type { Plain } from "../plain.ts";
import type { Pcg64 } from "../random/pcg64.ts";
import { copyRow, type Observations } from "../replay/rows.ts";

/** States with the teacher's outputs for them: a ring buffer, sampled uniformly with replacement. */
export class LabelledStates {
  readonly capacity: number;
  readonly width: number;
  readonly outputs: number;
  readonly #observations: Observations;
  readonly #labels: Float32Array;
  #size = 0;
  #next = 0;

  constructor(
    capacity: number,
    width: number,
    outputs: number,
    observations: Observations = new Float32Array(capacity * width),
    labels: Float32Array = new Float32Array(capacity * outputs),
  ) {
    this.capacity = capacity;
    this.width = width;
    this.outputs = outputs;
    this.#observations = observations;
    this.#labels = labels;
  }

  /**
   * An empty buffer for an environment's observations. Stacked frames are kept as bytes, in memory that threads may share.
   *
   * @param option of the distillation that says how many
   * @throws UsageError when there is no memory for so many
   */
  static for(
    option: "teacherStates" | "roundStates",
    { frameStack }: EnvironmentSpec,
    capacity: number,
    width: number,
    outputs: number,
  ): LabelledStates {
    const size = (frameStack === undefined ? 4 : 1) * capacity * width;
    return allocate(`pops.distill.${option}`, size, `${capacity} observations of ${width} numbers`, () => {
      const bytes = frameStack === undefined ? undefined : new Uint8Array(new SharedArrayBuffer(size));
      return new LabelledStates(capacity, width, outputs, bytes);
    });
  }

  /** A full buffer on the very arrays of a state, which may be many and shared: for sampling alone. */
  static of({ observations, labels }: LabelledState, width: number, outputs: number): LabelledStates {
    const rows = labels.length / outputs;
    if (observations.length !== rows * width) {
      throw new ShapeError(
        "labelled states",
        `${rows} labels came with ${observations.length} numbers of observations`,
      );
    }
    const states = new LabelledStates(rows, width, outputs, observations, labels);
    states.#size = rows;
    return states;
  }

  get size(): number {
    return this.#size;
  }

  /** Whether observations are kept as bytes. */
  get bytes(): boolean {
    return this.#observations instanceof Uint8Array;
  }

  /** Its rows where they are, not copied: `of` reads them, in another thread too. */
  get state(): LabelledState {
    return { next: this.#next, observations: this.observations, labels: this.labels };
  }

  /** [size, width] states held. */
  get observations(): Observations {
    return this.#observations.subarray(0, this.#size * this.width);
  }

  /** [size, outputs] their labels. */
  get labels(): Float32Array {
    return this.#labels.subarray(0, this.#size * this.outputs);
  }

  /** Stores [rows, width] states with [rows, outputs] labels over the oldest ones when full. */
  add(observations: Float32Array, labels: Float32Array): void {
    for (let row = 0; row * this.width < observations.length; row++) {
      this.#observations.set(observations.subarray(row * this.width, (row + 1) * this.width), this.#next * this.width);
      this.#labels.set(labels.subarray(row * this.outputs, (row + 1) * this.outputs), this.#next * this.outputs);
      this.#next = (this.#next + 1) % this.capacity;
      this.#size = Math.min(this.#size + 1, this.capacity);
    }
  }

  /** Fills rows `from` to `to` - 1 of a batch: [batch, width] observations, [batch, outputs] labels. */
  sample(random: Pcg64, observations: Observations, labels: Float32Array, from: number, to: number): void {
    const { width, outputs } = this;
    for (let row = from; row < to; row++) {
      const at = random.integer(this.#size);
      copyRow(this.#observations, at, width, observations, row);
      for (let k = 0; k < outputs; k++) labels[row * outputs + k] = this.#labels[at * outputs + k]!;
    }
  }

  getState(): LabelledState {
    return { next: this.#next, observations: this.observations.slice(), labels: this.labels.slice() };
  }

  setState(state: LabelledState): void {
    const size = state.labels.length / this.outputs;
    if (size > this.capacity || state.observations.length !== size * this.width) {
      throw new ShapeError("labelled states", `a state of ${size} rows does not fit a buffer of ${this.capacity}`);
    }
    this.#size = size;
    this.#next = state.next;
    this.#observations.set(state.observations);
    this.#labels.set(state.labels);
  }
}

export interface LabelledState {
  readonly [key: string]: Plain;
  readonly next: number;
  readonly observations: Observations;
  readonly labels: Float32Array;
}

export interface Collection {
  /** Chooses the actions: outputs `actions` from `observations`. A network of `architecture`. */
  readonly player: Forward;
  readonly architecture: AnyArchitecture;
  /** Labels the states: outputs `outputs` from `observations`. May be the player. */
  readonly teacher: Forward;
  readonly lanes: VectorEnvironment;
  /** How the player acts; greedily if not given. */
  readonly acting?: Acting;
  /** Lock-steps: `steps * lanes.size` states are labelled. */
  readonly steps: number;
  /** Fraction of random actions, which leads to states that the player alone would not see. */
  readonly exploration: number;
  readonly random: Pcg64;
}

/** Plays new episodes and stores every state with the teacher's outputs for it. */
export async function collect(collection: Collection, into: LabelledStates): Promise<void> {
  const { player, architecture, teacher, lanes, acting, steps, exploration, random } = collection;
  const { actionSpace } = lanes.spec;
  player.bind("observations", lanes.observations);
  teacher.bind("observations", lanes.observations);
  for (let lane = 0; lane < lanes.size; lane++) await lanes.reset(lane, random.nextUint32());
  const actions = actionsOf(architecture, player);
  for (let step = 0; step < steps; step++) {
    await player.run();
    if (teacher !== player) await teacher.run();
    into.add(lanes.observations, teacher.floats("outputs"));
    for (let lane = 0; lane < lanes.size; lane++) {
      if (random.double() >= exploration) {
        if (acting === "sampled") sampleAction(architecture, player.floats("outputs"), lane, random, actions);
        continue;
      }
      if (actionSpace.kind === "discrete") actions[lane] = random.integer(actionSpace.n);
      else drawUniform(actionSpace, random, actions, lane);
    }
    await lanes.step(actions);
    for (let lane = 0; lane < lanes.size; lane++) {
      if (lanes.terminated[lane] || lanes.truncated[lane]) await lanes.reset(lane);
    }
  }
}

/** A uniform action within the bounds. */
function drawUniform({ low, high }: BoxSpace, random: Pcg64, actions: Actions, lane: number): void {
  for (let d = 0; d < low.length; d++) actions[lane * low.length + d] = random.uniform(low[d]!, high[d]!);
}
