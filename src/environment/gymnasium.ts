import { availableParallelism } from "node:os";
import { isMainThread } from "node:worker_threads";
import { EnvironmentError, UsageError } from "../errors.ts";
import type { Plain } from "../plain.ts";
import { Pcg64 } from "../random/pcg64.ts";
import { gameRequest, gameTask } from "./atari/ale.ts";
import { notRunning } from "./classic-control.ts";
import type { EnvironmentSpec, VectorEnvironment } from "./environment.ts";
import { type Actions, Episode } from "./gymnasium-episode.ts";
import {
  CLOSE,
  CREATE,
  checkSpaces,
  fingerprintOf,
  type GymnasiumOptions,
  type GymnasiumReference,
  LIFE_LOST,
  type Opened,
  openRequest,
  PLAY,
  PLAY_ON,
  parseOpened,
  RESET,
  request,
  TERMINATED,
  TRUNCATED,
  type Whereabouts,
} from "./gymnasium-protocol.ts";
import { type Share, shareOf } from "./gymnasium-share.ts";
import { gymnasiumTask, type Task, type View } from "./gymnasium-task.ts";
import { type Answer, errorOf, PythonProcess } from "./python-process.ts";
import { sizeOf } from "./spaces.ts";
import { allocate, LaneActions, type LaneBuffers, parseVectorState, refuseLane, type VectorState } from "./vector.ts";

/** Seconds to an answer of a Python process. */
const TIMEOUT = 60;
/** Steps of one episode: all its actions are kept, and one that gets longer has no end. */
const MAX_STEPS = 1_000_000;

/**
 * Environments of Python's Gymnasium that advance together: contiguous shares of the lanes in a process each, which steps
 * its lanes one after the other while the other processes step theirs. The state of a lane is the seed and the actions of its
 * episode, since Gymnasium can save none; restoring plays them again. For that an episode that is begun without a seed
 * gets one, from a generator that the lane's last given seed (0 at first) makes.
 */
class GymnasiumVector implements VectorEnvironment {
  readonly spec: EnvironmentSpec;
  readonly size: number;
  readonly observations: Float32Array;
  readonly rewards: Float64Array;
  readonly terminated: Uint8Array;
  readonly truncated: Uint8Array;
  readonly lifeLost: Uint8Array;
  readonly #task: Task;
  readonly #view: View;
  readonly #vector: number;
  readonly #actionSize: number;
  readonly #checked: LaneActions;
  readonly #shares: readonly Share[];
  readonly #wanted: Uint8Array;
  /** Seeds of the next episodes. */
  readonly #seeds: Uint32Array;
  /** Where the first observations of next episodes are that have begun already, by lane. */
  readonly #begun = new Map<number, { readonly answer: Promise<Answer>; readonly offset: number }>();
  /** Episodes are begun without a seed: so the next one is known, and begins while this side looks at the last. */
  #playsOn = false;
  #episodes: (Episode | undefined)[];
  /** What the next call has to wait for: that the vector is made, and that a restored state is reached. */
  #preparing: Promise<void> | undefined;

  constructor(task: Task, processes: readonly PythonProcess[], size: number, vector: number) {
    const { spec } = task;
    const buffers = allocate(spec, size);
    this.spec = spec;
    this.size = size;
    this.observations = buffers.observations;
    this.rewards = buffers.rewards;
    this.terminated = buffers.terminated;
    this.truncated = buffers.truncated;
    this.lifeLost = buffers.lifeLost;
    this.#task = task;
    this.#view = task.view(this);
    this.#vector = vector;
    this.#actionSize = sizeOf(spec.actionSpace);
    this.#checked = new LaneActions(spec, size);
    this.#wanted = new Uint8Array(size);
    this.#seeds = new Uint32Array(size);
    this.#episodes = Array.from({ length: size }, () => undefined);
    const borderOf = (share: number): number => Math.floor((share * size) / processes.length);
    this.#shares = processes.map((process, k) => shareOf(task, process, vector, borderOf(k), borderOf(k + 1)));
    this.#prepare(this.#create());
  }

  async reset(lane: number, seed?: number): Promise<void> {
    if (!Number.isInteger(lane) || lane < 0 || lane >= this.size) refuseLane(this.spec, this.size, lane);
    if (this.#preparing) await this.#prepared();
    const former = seed === undefined ? this.#episodes[lane] : undefined;
    const random = former?.random ?? new Pcg64(seed ?? 0);
    const own = seed ?? former?.next ?? random.nextUint32();
    const begun = former && this.#begun.get(lane);
    this.#begun.delete(lane);
    this.#episodes[lane] = new Episode(own, random, this.#actionSize, this.#noActions());
    if (begun) await this.#arrive(lane, begun.answer, begun.offset, this.#view);
    else await this.#begin(lane, own, this.#view);
    if (seed === undefined) this.#playsOn = this.#task.playsOn;
    this.rewards[lane] = 0;
    this.terminated[lane] = 0;
    this.truncated[lane] = 0;
    this.lifeLost[lane] = 0;
  }

  /** Refuses a wrong action before any lane moves. Of several errors, that of the lowest lanes is thrown. */
  async step(actions: Actions): Promise<void> {
    if (this.#preparing) await this.#prepared();
    this.#checked.take(actions, this);
    for (let lane = 0; lane < this.size; lane++) {
      const runs = !this.terminated[lane] && !this.truncated[lane];
      this.#wanted[lane] = runs ? (this.#playsOn ? PLAY_ON : PLAY) : 0;
      if (!runs) {
        this.rewards[lane] = 0;
        this.lifeLost[lane] = 0;
      } else if (this.#episodes[lane] === undefined) throw notRunning(this.spec.id);
    }
    for (let lane = 0; lane < this.size; lane++) {
      if (!this.#wanted[lane]) continue;
      const episode = this.#episodes[lane]!;
      if (episode.steps === MAX_STEPS) {
        const problem = `${this.#place(lane, MAX_STEPS)}there is no end; limit it by --env-wrapper TimeLimit={"max_episode_steps":1000}`;
        throw new EnvironmentError(this.spec.id, problem);
      }
      episode.add(actions, lane);
      this.#seeds[lane] = episode.next;
    }
    await this.#advance(actions, this.#wanted, this, this.#view, (lane) => this.#episodes[lane]!.steps);
  }

  getState(): VectorState {
    return {
      lanes: this.#episodes.map((episode) => episode?.getState() ?? null),
      observations: this.observations.slice(),
      rewards: this.rewards.slice(),
      terminated: this.terminated.slice(),
      truncated: this.truncated.slice(),
    };
  }

  /** What was wrong is thrown by the next call: the processes play meanwhile. */
  setState(state: Plain): void {
    const saved = parseVectorState(this, state);
    this.#episodes = saved.lanes.map((lane) => {
      return lane === null ? undefined : Episode.from(this.spec.id, lane, this.#actionSize);
    });
    this.observations.set(saved.observations);
    this.rewards.set(saved.rewards);
    this.terminated.set(saved.terminated);
    this.truncated.set(saved.truncated);
    this.lifeLost.fill(0);
    this.#begun.clear();
    const before = this.#preparing;
    this.#prepare(this.#replay(saved, [...this.#episodes], before));
  }

  async close(): Promise<void> {
    // Those of a process that has ended are gone already.
    await Promise.allSettled(this.#shares.map(({ process }) => process.ask(request(CLOSE, this.#vector))));
    for (const share of this.#shares) share.release();
  }

  #noActions(): Actions {
    return this.spec.actionSpace.kind === "discrete" ? new Int32Array() : new Float32Array();
  }

  #prepare(work: Promise<void>): void {
    this.#preparing = work;
    // Whoever waits for it gets the error.
    work.catch(() => undefined);
  }

  async #prepared(): Promise<void> {
    await this.#preparing;
    this.#preparing = undefined;
  }

  async #create(): Promise<void> {
    const made = this.#shares.map(({ process, creation }) => process.ask(creation));
    await this.#all(made);
  }

  /** Waits for all; throws the first error, in the order of the shares. */
  async #all<T>(answers: readonly Promise<T>[], step?: (lane: number) => number): Promise<T[]> {
    const outcomes = await Promise.allSettled(answers);
    return outcomes.map((outcome, k) => {
      if (outcome.status === "fulfilled") return outcome.value;
      throw this.#errorOf(outcome.reason, this.#shares[k]!, step);
    });
  }

  /** @param step in which step of its episode a lane is */
  #errorOf(error: unknown, { from }: Share, step?: (lane: number) => number): unknown {
    return errorOf(this.spec.id, error, ({ operation, vector, lane: own }: Whereabouts) => {
      const lane = from + own;
      if (vector !== this.#vector) return "";
      if (operation === CREATE) return "a new environment: ";
      return this.#place(lane, operation === RESET ? 0 : (step?.(lane) ?? this.#episodes[lane]?.steps ?? 0));
    });
  }

  /** Where an error happened. */
  #place(lane: number, step: number): string {
    const begins = step === 0 && this.#begun.has(lane);
    const seed = (begins ? this.#seeds[lane] : this.#episodes[lane]?.seed) ?? 0;
    return step === 0 ? `reset(${seed}): ` : `step ${step} of the episode with seed ${seed}: `;
  }

  #shareOf(lane: number): Share {
    return this.#shares.findLast(({ from }) => lane >= from)!;
  }

  async #begin(lane: number, seed: number, view: View): Promise<void> {
    const { process, from } = this.#shareOf(lane);
    const beginning = this.#task.beginning(seed);
    const content = new DataView(new ArrayBuffer(16));
    content.setUint32(0, lane - from, true);
    content.setBigUint64(4, BigInt(beginning.seed), true);
    content.setUint32(12, beginning.noOps, true);
    const asked = process.ask(request(RESET, this.#vector, new Uint8Array(content.buffer)));
    await this.#arrive(lane, asked, 0, view);
  }

  /** Takes a first observation, at `offset` of those that an answer has. */
  async #arrive(lane: number, asked: Promise<Answer>, offset: number, view: View): Promise<void> {
    try {
      const { bytes } = await asked;
      const arrived = this.#task.bytes ? bytes : new Float32Array(bytes.buffer);
      view.begin(lane, arrived, offset * this.#task.width, () => this.#place(lane, 0));
    } catch (error) {
      throw this.#errorOf(error, this.#shareOf(lane));
    }
  }

  /**
   * Steps the lanes that are wanted.
   * @param step in which step of its episode a lane is
   */
  async #advance(
    actions: Actions,
    wanted: Uint8Array,
    into: LaneBuffers,
    view: View,
    step: (lane: number) => number,
  ): Promise<void> {
    const asked = this.#shares.map(({ process, from, to, request, answer, ...share }) => {
      share.actions.set(actions.subarray(from * this.#actionSize, to * this.#actionSize));
      share.seeds.set(this.#seeds.subarray(from, to));
      share.wanted.set(wanted.subarray(from, to));
      return share.wanted.some((what) => what !== 0) ? process.ask(request, answer) : undefined;
    });
    const answers = await this.#all(
      asked.map((answer) => Promise.resolve(answer)),
      step,
    );
    const where = (lane: number): string => this.#place(lane, step(lane));
    for (const [k, share] of this.#shares.entries()) {
      const answer = answers[k];
      if (answer === undefined) continue;
      share.fetch();
      const { from, to, rewards, observations, flags } = share;
      const { more } = answer;
      let begun = 0;
      for (let lane = from; lane < to; lane++) {
        if (!wanted[lane]) continue;
        const own = lane - from;
        const reward = rewards[own]!;
        if (!Number.isFinite(reward)) {
          throw new EnvironmentError(this.spec.id, `${where(lane)}the reward is ${reward}, expected a finite number`);
        }
        into.rewards[lane] = reward;
        const flag = flags[own]!;
        into.terminated[lane] = flag & TERMINATED ? 1 : 0;
        into.truncated[lane] = flag & TRUNCATED ? 1 : 0;
        into.lifeLost[lane] = flag & LIFE_LOST ? 1 : 0;
        if (more && flag) this.#begun.set(lane, { answer: more, offset: begun++ });
        view.go(lane, observations, own * this.#task.width, () => where(lane));
      }
    }
  }

  /** Plays the episodes that are under way again, beside the vector's own buffers, and sees that they lead to the same. */
  async #replay(saved: VectorState, episodes: readonly (Episode | undefined)[], before?: Promise<void>): Promise<void> {
    await before;
    const played = allocate(this.spec, this.size);
    const view = this.#task.view(played);
    const running = (lane: number): boolean => !saved.terminated[lane] && !saved.truncated[lane];
    const lanes = [...episodes.entries()].flatMap(([lane, episode]) =>
      episode && running(lane) ? [{ lane, episode }] : [],
    );
    for (const { lane, episode } of lanes) await this.#begin(lane, episode.seed, view);
    const steps = Math.max(0, ...lanes.map(({ episode }) => episode.steps));
    const count = this.size * this.#actionSize;
    const actions = this.spec.actionSpace.kind === "discrete" ? new Int32Array(count) : new Float32Array(count);
    for (let step = 0; step < steps; step++) {
      const wanted = new Uint8Array(this.size);
      for (const { lane, episode } of lanes) {
        if (step >= episode.steps) continue;
        wanted[lane] = PLAY;
        actions.set(episode.at(step), lane * this.#actionSize);
        if (played.terminated[lane] || played.truncated[lane]) this.#strayed(lane, step);
      }
      await this.#advance(actions, wanted, played, view, () => step + 1);
    }
    const width = sizeOf(this.spec.observationSpace);
    for (const { lane, episode } of lanes) {
      const of = ({ observations }: Pick<LaneBuffers, "observations">): Float32Array =>
        observations.subarray(lane * width, (lane + 1) * width);
      const there = of(saved);
      const same = of(played).every((value, i) => Object.is(value, there[i]));
      if (!same || played.terminated[lane] || played.truncated[lane]) this.#strayed(lane, episode.steps);
    }
  }

  #strayed(lane: number, steps: number): never {
    throw new EnvironmentError(
      this.spec.id,
      `${this.#place(lane, steps)}played again, it leads elsewhere. It depends on more than its seed and actions, so what ` +
        "was saved in the middle of an episode cannot go on: draw all randomness from self.np_random",
    );
  }
}

/** Processes of Python that have an environment of Gymnasium's, for all vectors of a run. */
export class GymnasiumProcesses {
  readonly gymnasium: Pick<GymnasiumOptions, "spaces" | "versions">;
  readonly #task: Task;
  readonly #processes: readonly PythonProcess[];
  #vectors = 0;

  private constructor(task: Task, opened: Opened, processes: readonly PythonProcess[]) {
    this.#task = task;
    this.gymnasium = { spaces: fingerprintOf(opened), versions: opened.versions };
    this.#processes = processes;
  }

  /**
   * Starts the processes: some seconds at the most.
   *
   * @param environment `gymnasium:` and the id, or `ale:` and the name of a game
   * @param workers processes at the most, if `reference` does not state them
   * @throws UsageError when Python, a package, a module or the id is missing, or the spaces are none that policies know
   * @throws EnvironmentError when it cannot be made, or its spaces are others than those expected
   */
  static async open(environment: string, workers: number, reference: GymnasiumReference): Promise<GymnasiumProcesses> {
    const { timeout = TIMEOUT, spaces } = reference;
    const game = gameRequest(environment, reference);
    const request = openRequest(environment, reference, game);
    const processes: PythonProcess[] = [];
    // Worker threads are as many as there are cores, and their processes are besides.
    const leavesCore = (count: number): boolean => isMainThread && count < availableParallelism();
    const start = async (count: number): Promise<Opened> => {
      const process = new PythonProcess(environment, timeout, leavesCore(count));
      processes.push(process);
      try {
        // First that Python has what is needed.
        const fit = await process.ask(request);
        const opened = (await fit.more) ?? fit;
        return parseOpened(environment, opened.bytes);
      } catch (error) {
        throw errorOf(environment, error);
      }
    };
    try {
      const opened = await start(reference.processes ?? 1);
      checkSpaces(environment, opened, spaces);
      const count = reference.processes ?? (opened.observation.shape.length > 1 ? workers : 1);
      for (const other of await Promise.all(Array.from({ length: count - 1 }, () => start(count)))) {
        checkSpaces(environment, other, fingerprintOf(opened));
      }
      // How many there would be was not known when the first one began.
      for (const process of processes) process.alert = leavesCore(count);
      const task = game === undefined ? gymnasiumTask(environment, opened) : gameTask(environment, opened);
      return new GymnasiumProcesses(task, opened, processes);
    } catch (error) {
      await Promise.all(processes.map((process) => process.close()));
      throw error;
    }
  }

  get spec(): EnvironmentSpec {
    return this.#task.spec;
  }

  /** @throws UsageError when `size` is not a positive integer. */
  vector(size: number): VectorEnvironment {
    if (!Number.isInteger(size) || size < 1) throw new UsageError("size", `is ${size}, expected an integer from 1`);
    return new GymnasiumVector(this.#task, this.#processes.slice(0, size), size, ++this.#vectors);
  }

  async close(): Promise<void> {
    await Promise.all(this.#processes.map((process) => process.close()));
  }
}
