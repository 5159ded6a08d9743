import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import type { Environment, VectorEnvironment } from "../../src/environment/environment.ts";
import { vectorOf } from "../../src/environment/vector.ts";
import { stream } from "../../src/random/pcg64.ts";
import { ActorCritic } from "../../src/teacher/actor-critic.ts";
import { type PpoOptions, type PpoState, ppoSchema, trainPpo } from "../../src/teacher/ppo.ts";
import { Rollout, transitionInputs } from "../../src/teacher/rollout.ts";
import { EpisodeReturns } from "../../src/teacher/teacher.ts";
import { input, sum } from "../../src/tensor/graph.ts";
import { Program } from "../../src/tensor/program.ts";
import { drain, only } from "../drain.ts";
import { hasPackages, python } from "../environment/fixtures/python.ts";
import { Identity } from "../environment/identity.ts";
import { Match } from "../environment/match.ts";
import { withStep } from "../environment/wrapped.ts";

const SEED = 11;
const LANES = 3;

interface Case {
  readonly name: string;
  readonly options: PpoOptions;
  readonly create: () => Environment;
}

/** One rollout of 24 steps, and five updates on all of it or ten on halves: after the first, ratios are not 1, and many are limited. */
function caseOf(name: string, create: () => Environment, change: Partial<PpoOptions> = {}): Case {
  const options = ppoSchema.parse({
    hidden: [5, 4],
    totalSteps: 24,
    environments: LANES,
    nSteps: 8,
    batchSize: 24,
    nEpochs: 5,
    learningRate: 0.02,
    clipRange: 0.05,
    gamma: 0.9,
    gaeLambda: 0.8,
    entCoef: 0.03,
    vfCoef: 0.7,
    evaluationEpisodes: 2,
    stopScore: 1e9,
    ...change,
  });
  return { name, options, create };
}

const cases: readonly Case[] = [
  caseOf("choices, terminated", () => new Identity(3, 3)),
  caseOf("choices, truncated, a shared critic", () => new Identity(3, 3, "truncated"), { critic: "shared" }),
  caseOf("continuous actions, truncated", () => new Match({ length: 3, end: "truncated" }), { logStdInit: -0.3 }),
  caseOf("continuous actions, terminated, a shared critic", () => new Match({ length: 5 }), {
    critic: "shared",
    logStdInit: 0.2,
    normalizeAdvantage: false,
    maxGradientNorm: 0.1,
  }),
  caseOf("choices, in batches of half a rollout", () => new Identity(3, 5), { batchSize: 12 }),
];

/** What happened in lanes, step by step. */
interface Recorded {
  readonly nextObservations: number[];
  readonly rewards: number[];
  readonly terminated: number[];
  readonly truncated: number[];
}

function recording(lanes: VectorEnvironment): { lanes: VectorEnvironment; recorded: Recorded } {
  const recorded: Recorded = { nextObservations: [], rewards: [], terminated: [], truncated: [] };
  const step = async (actions: Int32Array | Float32Array): Promise<void> => {
    await lanes.step(actions);
    recorded.nextObservations.push(...lanes.observations);
    recorded.rewards.push(...lanes.rewards);
    recorded.terminated.push(...lanes.terminated);
    recorded.truncated.push(...lanes.truncated);
  };
  return { recorded, lanes: withStep(lanes, step) };
}

/** The first rollout of a training, and everything that Stable-Baselines3 needs to learn from it. */
async function playFirst({ options, create }: Case) {
  const { lanes, recorded } = recording(vectorOf(create().spec, create, LANES));
  const model = new ActorCritic(lanes.spec, options);
  const parameters = model.initialize(SEED);
  const rollout = await Rollout.create(model, lanes, options);
  for (let lane = 0; lane < LANES; lane++) await lanes.reset(lane, stream(SEED, "environment", lane).nextUint32());
  await rollout.play(parameters, stream(SEED, "exploration"), new EpisodeReturns(LANES));
  const { advantages, targets } = await rollout.appraise(parameters);
  const rows = advantages.length;
  const inputs = { ...transitionInputs(model, rows, false), oldLogProb: input([rows]) };
  const program = await Program.compile({ inputs, outputs: { used: sum(inputs.oldLogProb) } });
  rollout.gather(Int32Array.from(advantages.keys()), program);
  const continuous = model.actor.gaussian !== undefined;
  const actions = continuous ? program.floats("actions") : program.ints("actions");
  const given = {
    ...options,
    ...recorded,
    continuous,
    shared: options.critic === "shared",
    lanes: LANES,
    inputs: model.actor.input[0],
    outputs: model.actor.layers.at(-1)!.units,
    parameters: [...parameters],
    observations: [...program.floats("observations")],
    actions: [...actions],
  };
  await program.dispose();
  await rollout.dispose();
  return { given, advantages, targets };
}

/** The order of the rows in each epoch: every epoch shuffles what the one before left, by Fisher and Yates from the end. */
function ordersOf({ options }: Case): number[][] {
  const random = stream(SEED, "minibatches");
  let order = Array.from({ length: options.nSteps * LANES }, (_, row) => row);
  return Array.from({ length: options.nEpochs }, () => {
    order = [...order];
    for (let last = order.length - 1; last > 0; last--) {
      const drawn = random.integer(last + 1);
      [order[last], order[drawn]] = [order[drawn]!, order[last]!];
    }
    return order;
  });
}

/** The whole training: this one rollout. */
async function learn({ options, create }: Case) {
  const { checkpoints, events } = await drain(trainPpo((size) => vectorOf(create().spec, create, size), options, SEED));
  const { parameters } = (checkpoints[0]!.state as PpoState).trainer;
  return { parameters, train: only(events, "train")[0]! };
}

const hasSb3 = hasPackages(["stable_baselines3"]);

interface Theirs {
  readonly advantages: readonly number[];
  readonly targets: readonly number[];
  readonly parameters: readonly number[];
  readonly logged: Readonly<Record<string, number>>;
}

function expectClose(actual: ArrayLike<number>, expected: readonly number[]): void {
  expect(actual).toHaveLength(expected.length);
  const differences = expected.map((value, i) => Math.abs(value - actual[i]!));
  expect(Math.max(...differences)).toBeLessThan(1e-5);
}

describe.skipIf(!hasSb3).each(cases.map((one, index) => ({ ...one, index })))(
  "against Stable-Baselines3 ($name; needs Python with stable_baselines3)",
  ({ index, ...one }) => {
    let ours: Awaited<ReturnType<typeof playFirst>>;
    beforeAll(async () => {
      ours = await playFirst(one);
    });

    it("has its advantages and targets", async () => {
      const theirs = await fromSb3(index);
      expectClose(ours.advantages, theirs.advantages);
      expectClose(ours.targets, theirs.targets);
      expect(Math.max(...ours.advantages.map(Math.abs))).toBeGreaterThan(0.1);
    });

    it("has its parameters after five epochs", async () => {
      const theirs = await fromSb3(index);
      const { parameters } = await learn(one);
      expectClose(parameters, theirs.parameters);
      const moved = theirs.parameters.map((value, i) => Math.abs(value - ours.given.parameters[i]!));
      expect(Math.max(...moved)).toBeGreaterThan(0.05);
    });

    it("reports the measures that it logs", async () => {
      const { logged } = await fromSb3(index);
      const { train } = await learn(one);
      const measures = {
        policyLoss: "policy_gradient_loss",
        valueLoss: "value_loss",
        clipFraction: "clip_fraction",
        explainedVariance: "explained_variance",
      } as const;
      for (const [name, theirs] of Object.entries(measures)) {
        expect(train[name as keyof typeof measures]).toBeCloseTo(logged[`train/${theirs}`]!, 5);
      }
      expect(train.entropy).toBeCloseTo(-logged["train/entropy_loss"]!, 5);
      expect(train.clipFraction).toBeGreaterThan(0.1);
      // It logs the KL of the last epoch.
      const { train: without } = await learn({ ...one, options: { ...one.options, nEpochs: 4 } });
      expect(5 * train.kl! - 4 * without.kl!).toBeCloseTo(logged["train/approx_kl"]!, 5);
    });
  },
);

let asked: Promise<readonly Theirs[]> | undefined;
/** What Stable-Baselines3 makes of a case; Python is started once for all of them. */
async function fromSb3(index: number): Promise<Theirs> {
  asked ??= (async () => {
    const given = [];
    for (const one of cases) given.push({ ...(await playFirst(one)).given, orders: ordersOf(one) });
    const script = fileURLToPath(new URL("sb3-update.py", import.meta.url));
    const { stdout, stderr, status } = spawnSync(python, [script], { encoding: "utf8", input: JSON.stringify(given) });
    if (status !== 0) throw new Error(stderr);
    return JSON.parse(stdout) as Theirs[];
  })();
  return (await asked)[index]!;
}
