/**
 * Makes the zoo's entries of an environment, teacher and compact policy, by the command line as a user does: trains,
 * compresses, and evaluates the files that are kept. The teacher is kept in half precision.
 *
 *   npm run zoo -- CartPole-v1 --seed 1
 *   npm run zoo -- Pong-v0 --run runs/Pong-v0-1 --command "pops train Pong-v0 && pops compress teacher.safetensors"
 *
 * The second form takes a run that has been made already, of `pops run` or `pops compress`, by the command that is stated. Of a run
 * with `--target c-int8` it takes the policy alone.
 */
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { z } from "zod";
import { readZoo, ZOO, ZOO_ROLES, type ZooEntry, zooName, zooPath, zooSchema } from "../src/cli/zoo.ts";
import { environmentIds } from "../src/environment/registry.ts";
import { loadPolicy } from "../src/importing/load.ts";
import { countsOf, describe, inputSize } from "../src/network/architecture.ts";
import { scoreSchema } from "../src/network/policy.ts";
import { readResult } from "../src/run/read.ts";
import { sha256 } from "../src/seal.ts";

/** Fewer where games are long and teachers large: of pictures. */
const EPISODES = 100;
const EPISODES_OF_PICTURES = 50;
const PICTURE = 4 * 84 * 84;

/** Runs the command line, and returns what it prints where that is wanted. */
function pops(parameters: readonly string[], captured = false): string {
  const program = ["--import", "tsx", "src/cli/main.ts"];
  const { status, stdout } = spawnSync(process.execPath, [...program, ...parameters], {
    stdio: ["ignore", captured ? "pipe" : "inherit", "inherit"],
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`pops ${parameters.join(" ")} ended with code ${status}`);
  return stdout;
}

const evaluated = z.object({ score: scoreSchema });

/** What teacher and policy of a run share. */
type Made = Pick<ZooEntry, "environment" | "command" | "seed" | "acting">;

/** Takes the teacher or the policy of a finished run in. */
async function takeIn(run: string, role: ZooEntry["role"], of: Made): Promise<ZooEntry> {
  const { environment, acting } = of;
  const name = zooName(environment, role);
  const path = zooPath({ name });
  const source = join(run, "policies", `${role === "teacher" ? role : "policy"}.safetensors`);
  // A compact policy is small as it is, and keeps the numbers that were proven.
  if (role === "teacher") pops(["export", "safetensors", source, "--half", "--output", path]);
  else copyFileSync(source, path);
  const { architecture } = await loadPolicy(path);
  const episodes = inputSize(architecture) < PICTURE ? EPISODES : EPISODES_OF_PICTURES;
  const { score } = evaluated.parse(
    JSON.parse(
      pops(
        ["evaluate", path, "--episodes", String(episodes), "--json", ...(acting === "sampled" ? ["--sampled"] : [])],
        true,
      ),
    ),
  );
  const bytes = readFileSync(path);
  return {
    ...of,
    name,
    role,
    layers: describe(architecture),
    weights: countsOf(architecture).weights,
    bytes: bytes.length,
    sha256: sha256(bytes),
    score,
  };
}

/** Replaces those entries that have the same names; all stand in the order of the environments. */
function writeIndex(entries: readonly ZooEntry[]): void {
  const index = new URL("index.json", ZOO);
  const others = existsSync(index) ? readZoo() : [];
  const all = new Map([...others, ...entries].map((entry) => [entry.name, entry]));
  const ids = new Set([...environmentIds(), ...[...all.values()].map((entry) => entry.environment)]);
  const policies = [...ids].flatMap((id) => ZOO_ROLES.flatMap((role) => all.get(zooName(id, role)) ?? []));
  writeFileSync(index, `${JSON.stringify(zooSchema.parse({ version: 1, policies }), null, 2)}\n`);
}

const {
  values,
  positionals: [environment],
} = parseArgs({
  options: { seed: { type: "string", default: "1" }, run: { type: "string" }, command: { type: "string" } },
  allowPositionals: true,
});
if (environment === undefined) throw new Error("npm run zoo -- <environment>");
if ((values.run === undefined) !== (values.command === undefined)) {
  throw new Error("--run and --command belong together: a run, and the command that made it");
}
const scratch = mkdtempSync(join(tmpdir(), "pops-zoo-"));
const run = values.run ?? join(scratch, "run");
if (values.run === undefined) pops(["run", environment, "--seed", values.seed, "--out", run]);
const command = values.command ?? `npm run zoo -- ${environment} --seed ${values.seed}`;
const { target, environment: played, seed, acting } = readResult(join(run, "result.json"));
if (played !== environment) throw new Error(`${run} is a run of ${played}, not of ${environment}`);
const roles: readonly ZooEntry["role"][] = target === "c-int8" ? ["int8"] : ["teacher", "policy"];
const entries: ZooEntry[] = [];
for (const role of roles) entries.push(await takeIn(run, role, { environment, command, seed, acting }));
writeIndex(entries);
rmSync(scratch, { recursive: true });
