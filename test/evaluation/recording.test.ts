import { expect, it } from "vitest";
import { openEnvironment } from "../../src/environment/open.ts";
import { makeEnvironment } from "../../src/environment/registry.ts";
import { UsageError } from "../../src/errors.ts";
import { episodeSeed } from "../../src/evaluation/episode-seed.ts";
import { recordObservations } from "../../src/evaluation/recording.ts";
import { argmax } from "../../src/network/action.ts";
import { dense } from "../../src/network/architecture.ts";
import { predictor } from "../../src/network/predict.ts";
import { randomPolicy } from "../importing/fixtures/policies.ts";

const player = randomPolicy(dense(4, [3], 2, "q-values"));
const options = { seed: 3, set: "calibration", rows: 120, acting: "greedy" } as const;

async function recordedIn(id: string, policy = player, changed: Partial<typeof options> | object = {}) {
  const environment = await openEnvironment(id, { workers: 1 });
  try {
    return await recordObservations(policy, environment, { ...options, ...changed });
  } finally {
    await environment.close();
  }
}

it("has what the policy meets, episode after episode from their seeds on", async () => {
  const environment = makeEnvironment("CartPole-v1");
  const predict = predictor(player);
  const expected: number[] = [];
  for (let episode = 0; expected.length < 4 * 120; episode++) {
    let observation = environment.reset(episodeSeed(3, "calibration", episode));
    for (;;) {
      expected.push(...observation);
      const step = environment.step(argmax(predict(observation)));
      if (step.terminated || step.truncated) break;
      observation = step.observation;
    }
  }
  expect(Array.from(await recordedIn("CartPole-v1"))).toEqual(expected.slice(0, 4 * 120));
});

it("gives the same for the same seed and set, and others for another", async () => {
  const first = await recordedIn("CartPole-v1");
  expect(await recordedIn("CartPole-v1")).toEqual(first);
  expect(await recordedIn("CartPole-v1", player, { seed: 4 })).not.toEqual(first);
  expect(await recordedIn("CartPole-v1", player, { set: "verification" })).not.toEqual(first);
});

it("goes on with what was there where more is wanted", async () => {
  const short = await recordedIn("CartPole-v1", player, { rows: 50 });
  expect((await recordedIn("CartPole-v1")).subarray(0, 200)).toEqual(short);
});

it("plays by draws where the policy acts so", async () => {
  const actor = { ...player, architecture: { ...player.architecture, head: "logits" as const } };
  const drawn = await recordedIn("CartPole-v1", actor, { acting: "sampled" });
  expect(drawn).not.toEqual(await recordedIn("CartPole-v1", actor));
  expect(drawn).toEqual(await recordedIn("CartPole-v1", actor, { acting: "sampled" }));
});

it("keeps images of whole numbers as bytes", async () => {
  const policy = randomPolicy({
    input: [4, 10, 10],
    layers: [{ kind: "dense", units: 3, activation: "none" }],
    head: "q-values",
  });
  const recorded = await recordedIn("MiniBreakout-v0", policy, { rows: 20 });
  expect(recorded).toBeInstanceOf(Uint8Array);
  expect(recorded).toHaveLength(20 * 400);
  expect(new Set(recorded)).toEqual(new Set([0, 1]));
});

it("refuses a policy that does not fit", async () => {
  await expect(recordedIn("CartPole-v1", randomPolicy(dense(3, [], 2, "q-values")))).rejects.toThrow(UsageError);
});
