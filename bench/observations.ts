/**
 * What an answer of `pops compress --observations` is worth where its teacher plays: logs a teacher's observations, one action
 * of ten at random, compresses on them alone, plays the answer, and prints a table for docs/results.md.
 *
 *   npm run bench:observations -- teacher.safetensors --seeds 3
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { z } from "zod";
import { makeEnvironment, specOf } from "../src/environment/registry.ts";
import { loadPolicy } from "../src/importing/load.ts";
import { argmax, boundActions } from "../src/network/action.ts";
import type { Policy } from "../src/network/policy.ts";
import { predictor } from "../src/network/predict.ts";
import { stream } from "../src/random/pcg64.ts";
import { resultSchema } from "../src/run/result.ts";
import { printMachine } from "./measure.ts";

const OBSERVATIONS = 50_000;
const EXPLORATION = 0.1;
const EPISODES = "1000";

/** JSON lines of what the teacher met, with the number of its episode. */
function log(teacher: Policy, environment: string, seed: number): string {
  const random = stream(seed, "bench/observations");
  const { actionSpace } = specOf(environment);
  const world = makeEnvironment(environment);
  const decide = predictor(teacher);
  const act = (observation: Float32Array) => {
    if (random.double() >= EXPLORATION) {
      const outputs = decide(observation);
      if (actionSpace.kind === "discrete") return argmax(outputs);
      boundActions(teacher.architecture, outputs);
      return outputs;
    }
    return actionSpace.kind === "discrete"
      ? random.integer(actionSpace.n)
      : Float32Array.from(actionSpace.low, (low, i) => random.uniform(low, actionSpace.high[i]!));
  };
  const lines: string[] = [];
  for (let episode = 0; lines.length < OBSERVATIONS; episode++) {
    let observation = world.reset(random.integer(2 ** 32));
    for (let over = false; !over; ) {
      lines.push(JSON.stringify({ episode, observation: [...observation] }));
      const step = world.step(act(observation));
      over = step.terminated || step.truncated;
      observation = step.observation;
    }
  }
  return `${lines.join("\n")}\n`;
}

function pops(...args: string[]): unknown {
  const all = ["--import", "tsx", "src/cli/main.ts", ...args, "--json"];
  return JSON.parse(execFileSync(process.execPath, all, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }));
}

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { seeds: { type: "string", default: "3" } },
});
const [file = ""] = positionals;
const teacher = await loadPolicy(file);
const environment = teacher.environment ?? "";
const playedSchema = z.object({ score: z.object({ mean: z.number(), lower95: z.number() }) });
const play = (path: string): string => {
  const { score } = playedSchema.parse(pops("evaluate", path, "--env", environment, "--episodes", EPISODES));
  return `${score.mean.toFixed(1)} (${score.lower95.toFixed(1)})`;
};

printMachine();
console.log(
  "| environment | seed | layers | weights | agreement (lower bound) | KL | teacher's return (lower bound) | policy's |",
);
console.log("|---|---|---|---|---|---|---|---|");
for (let seed = 1; seed <= Number(values.seeds); seed++) {
  const folder = mkdtempSync(join(tmpdir(), "pops-observations-"));
  const observations = join(folder, "observations.jsonl");
  const out = join(folder, "run");
  writeFileSync(observations, log(teacher, environment, seed));
  const { policy } = resultSchema.parse(
    pops("compress", file, "--observations", observations, "--seed", String(seed), "--out", out),
  );
  const agreement = `${(100 * policy.score.mean).toFixed(1)} % (${(100 * policy.score.lower95).toFixed(1)} %)`;
  console.log(
    `| ${environment} | ${seed} | ${policy.layers} | ${policy.weights} | ${agreement} | ${(policy.divergence?.kl ?? 0).toFixed(3)} | ${play(file)} | ${play(join(out, "policies", "policy.safetensors"))} |`,
  );
  rmSync(folder, { recursive: true });
}
