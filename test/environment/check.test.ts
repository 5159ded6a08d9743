import { describe, expect, it } from "vitest";
import { checkEnvironment } from "../../src/environment/check.ts";
import type { Action, Environment, EnvironmentSpec, Step } from "../../src/environment/environment.ts";
import { environmentIds, registrationOf } from "../../src/environment/registry.ts";
import { box, discrete } from "../../src/environment/spaces.ts";
import type { Plain } from "../../src/plain.ts";
import { Pcg64 } from "../../src/random/pcg64.ts";
import { Countdown } from "./countdown.ts";

/** A countdown with one thing changed. */
function faulty(change: (environment: Countdown) => Partial<Environment>): () => Environment {
  return () => {
    const environment = new Countdown();
    return Object.assign(environment, change(environment));
  };
}

function faultySpec(change: Partial<EnvironmentSpec>): () => Environment {
  return faulty(({ spec }) => ({ spec: { ...spec, ...change } }));
}

/** A countdown whose third step is changed. */
function faultyStep(change: (step: Step) => object): () => Environment {
  return faulty((environment) => {
    const step = environment.step.bind(environment);
    let count = 0;
    return {
      step(action: Action): Step {
        const right = step(action);
        count++;
        return count === 3 ? { ...right, ...change(right) } : right;
      },
    };
  });
}

/** A countdown whose first observation is twice `value`, as of a stack of two pictures of a pixel. */
function stacked(value: number): () => Environment {
  return faulty((environment) => {
    const reset = environment.reset.bind(environment);
    return {
      spec: { ...environment.spec, frameStack: 2 },
      reset(seed?: number): Float32Array {
        reset(seed);
        return Float32Array.of(value, value);
      },
    };
  });
}

/** Counts down from 3 for ever. */
class Endless extends Countdown {
  override step(action: Action): Step {
    const step = super.step(action);
    if (step.terminated) this.left = 3;
    return { ...step, terminated: false };
  }
}

/** Draws from a generator that no seed reaches. */
class Unseeded extends Countdown {
  override reset(): Float32Array {
    return super.reset();
  }
}

let shared = new Pcg64(0);

/** Seeds correctly, but draws its steps from a generator that all instances share. */
class Shared extends Countdown {
  override reset(seed?: number): Float32Array {
    if (seed !== undefined) shared = new Pcg64(seed + 100);
    return super.reset(seed);
  }
  override step(action: Action): Step {
    return { ...super.step(action), reward: shared.double() };
  }
}

/** Forgets its generator in `setState`. */
class Forgetful extends Countdown {
  override setState(state: Plain): void {
    super.setState({ left: (state as { left: number }).left, random: new Pcg64(9).getState() });
  }
}

/** Keeps the reward's scale, which depends on the seed, out of the saved state. */
class Incomplete extends Countdown {
  #scale = 1;
  override reset(seed?: number): Float32Array {
    if (seed !== undefined) this.#scale = seed;
    return super.reset(seed);
  }
  override step(action: Action): Step {
    return { ...super.step(action), reward: this.#scale };
  }
}

/** Gives its live buffer away as saved state. */
class Live extends Countdown {
  readonly #total = new Float64Array(1);
  override reset(seed?: number): Float32Array {
    if (seed !== undefined) this.#total[0] = 0;
    return super.reset(seed);
  }
  override step(action: Action): Step {
    this.#total[0]! += 1;
    return { ...super.step(action), reward: this.#total[0]! };
  }
  override getState(): Plain {
    return { countdown: super.getState(), total: this.#total };
  }
  override setState(state: Plain): void {
    const { countdown, total } = state as { countdown: Plain; total: Float64Array };
    super.setState(countdown);
    this.#total.set(total);
  }
}

const faults: [string, () => Environment, string][] = [
  ["an empty id", faultySpec({ id: "" }), "spec.id is empty"],
  ["a time limit of 0", faultySpec({ maxEpisodeSteps: 0 }), "spec.maxEpisodeSteps is 0"],
  ["a threshold that is no number", faultySpec({ rewardThreshold: Number.NaN }), "spec.rewardThreshold is NaN"],
  ["an action space without actions", faultySpec({ actionSpace: discrete(0) }), "spec.actionSpace.n is 0"],
  [
    "a shape with a hole",
    faultySpec({ observationSpace: { kind: "box", shape: [2, 0], low: [], high: [] } }),
    "spec.observationSpace.shape is [2, 0]",
  ],
  [
    "bounds that do not fit the shape",
    faultySpec({ observationSpace: { kind: "box", shape: [2], low: [0], high: [1, 1] } }),
    "has shape [2] but 1 low and 2 high bounds",
  ],
  ["bounds upside down", faultySpec({ observationSpace: box([0, 1], [3, 0]) }), "low[1] = 1 and high[1] = 0"],
  ["a bound that is no number", faultySpec({ actionSpace: box([Number.NaN], [0]) }), "low[0] = NaN"],
  [
    "an observation space that is discrete",
    faulty(({ spec }) => ({ spec: Object.assign({ ...spec }, { observationSpace: discrete(3) }) })),
    "spec.observationSpace.kind is discrete",
  ],
  [
    "a first observation outside the space",
    faultySpec({ observationSpace: box([0, 0], [2, 1]) }),
    "reset() is 3, not from 0 to 2",
  ],
  [
    "an observation of the wrong length",
    faultySpec({ observationSpace: box([0], [3]) }),
    "has 2 numbers, spec.observationSpace has 1",
  ],
  [
    "a later observation outside the space",
    faultyStep(() => ({ observation: Float32Array.of(0, 1.5) })),
    "observation[1] of step 3 is 1.5, not from 0 to 1",
  ],
  ["an observation with NaN", faultyStep(() => ({ observation: Float32Array.of(0, Number.NaN) })), "of step 3 is NaN"],
  [
    "an observation that is a plain array",
    faultyStep(() => ({ observation: [0, 1] })),
    "of step 3 is not a Float32Array",
  ],
  [
    "a stack of another number of pictures",
    faultySpec({ frameStack: 3 }),
    "spec.frameStack is 3, the observation's first axis 2",
  ],
  ["a stack that begins with several pictures", faultySpec({ frameStack: 2 }), "of reset() is not one picture 2 times"],
  ["a stack that does not move up", stacked(1), "pictures of step 1 are not the last ones moved up by one"],
  ["a stack of fractions", stacked(0.5), "a pixel of reset() is no whole number from 0 to 255"],
  ["an infinite reward", faultyStep(() => ({ reward: Infinity })), "reward of step 3 is Infinity"],
  ["a missing reward", faultyStep(() => ({ reward: undefined })), "reward of step 3 is undefined"],
  ["a numeric flag", faultyStep(() => ({ terminated: 1 })), "terminated of step 3 is 1; return true or false"],
  ["a missing flag", faultyStep(() => ({ truncated: undefined })), "truncated of step 3 is undefined"],
  ["an episode without end", () => new Endless(), "no episode ended in 10000 random steps"],
  ["a seed that is ignored", () => new Unseeded(), "reset(7) twice gives two different first observations"],
  [
    "a generator that all environments share",
    () => new Shared(),
    "the same seed and actions give different episodes in two environments",
  ],
  [
    "a generator left out of the state",
    () => new Forgetful(),
    "after setState(getState()) the same actions lead elsewhere",
  ],
  ["a state that needs more than what is saved", () => new Incomplete(), "setState() on a new environment"],
  ["a state that is a live buffer", () => new Live(), "getState() changes with later steps"],
  [
    "a state that is not plain",
    faulty((environment) => {
      const state = environment.getState();
      return { getState: () => Object.assign({ clock: () => 0 }, state) };
    }),
    "getState().clock is function",
  ],
  [
    "a step that throws",
    faulty(() => ({
      step: () => {
        throw new Error("not today");
      },
    })),
    'reset() or step() threw "not today"',
  ],
  [
    "a constructor that throws",
    () => {
      throw new Error("no display");
    },
    'create() threw "no display"',
  ],
];

describe("checkEnvironment", () => {
  it.each(environmentIds())("finds nothing wrong with %s", (id) => {
    expect(checkEnvironment(registrationOf(id).create)).toEqual([]);
  });

  it("finds nothing wrong with a correct user environment", () => {
    expect(checkEnvironment(() => new Countdown())).toEqual([]);
  });

  it("accepts an episode without end when there is a time limit", () => {
    expect(checkEnvironment(() => new Endless(3, 50))).toEqual([]);
  });

  it("accepts continuous actions, open bounds included", () => {
    const create = (): Environment => {
      const environment = new Countdown();
      const step = environment.step.bind(environment);
      return Object.assign(environment, {
        spec: { ...environment.spec, actionSpace: box([-1, -Infinity, 5], [1, 0, Infinity]) },
        step: (action: Action) => ({ ...step(0), reward: (action as Float32Array)[2]! }),
      });
    };
    expect(checkEnvironment(create)).toEqual([]);
  });

  it.each(faults)("finds %s", (_, create, sentence) => {
    const problems = checkEnvironment(create);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(sentence);
  });

  it("gives the same list every time", () => {
    const create = faultySpec({ id: "", maxEpisodeSteps: -1 });
    expect(checkEnvironment(create)).toHaveLength(2);
    expect(checkEnvironment(create)).toEqual(checkEnvironment(create));
  });
});
