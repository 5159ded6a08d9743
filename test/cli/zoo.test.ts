import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { readZoo, readZooFile, ZOO, zooName, zooPath, zooSchema } from "../../src/cli/zoo.ts";
import { environmentIds, specOf } from "../../src/environment/registry.ts";
import { makeVector } from "../../src/environment/vector.ts";
import { FileError } from "../../src/errors.ts";
import { Evaluator } from "../../src/evaluation/evaluate.ts";
import { loadPolicy } from "../../src/importing/load.ts";
import { countsOf, describe } from "../../src/network/architecture.ts";
import { sha256 } from "../../src/seal.ts";
import { pops, popsIn, temporaryFolder } from "./fixtures/pops.ts";

const zoo = readZoo();
const compact = zoo.filter(({ role }) => role !== "teacher");

it.each(zoo)("holds $name as its index describes it", async (entry) => {
  expect(sha256(readZooFile(entry))).toBe(entry.sha256);
  const { architecture, environment } = await loadPolicy(zooPath(entry));
  const { name, role, layers, weights, bytes } = entry;
  expect({ name, layers, weights, environment }).toEqual({
    name: zooName(entry.environment, role),
    layers: describe(architecture),
    weights: countsOf(architecture).weights,
    environment: entry.environment,
  });
  expect(readFileSync(zooPath(entry))).toHaveLength(bytes);
  expect(bytes).toBeLessThanOrEqual(4e6);
});

it("has no file that its index does not list", () => {
  const listed = zoo.map((entry) => basename(zooPath(entry)));
  expect(readdirSync(fileURLToPath(ZOO)).toSorted()).toEqual([...listed, "index.json"].toSorted());
});

it("has a teacher to each policy, in the order of the environments", () => {
  const ids = [...environmentIds(), "ale:MsPacman"].filter((id) =>
    compact.some(({ environment }) => environment === id),
  );
  const expected = ids.flatMap((id) =>
    [...(["teacher", "policy"] as const), ...(id === "Pong-v0" ? (["int8"] as const) : [])].map((role) =>
      zooName(id, role),
    ),
  );
  expect(zoo.map(({ name }) => name)).toEqual(expected);
});

const cheap = (id: string): boolean => environmentIds().includes(id) && specOf(id).frameStack === undefined;
it.each(compact.filter(({ environment }) => cheap(environment)))(
  "plays $name as well as its index says",
  async ({ environment, score, name }) => {
    const { architecture, parameters } = await loadPolicy(zooPath({ name }));
    const evaluator = await Evaluator.create(architecture, makeVector(environment, score.episodes));
    const { mean } = await evaluator.score(parameters, 1, "evaluate", score.episodes);
    await evaluator.dispose();
    // The same episodes: other processors may round otherwise, and that decides a few actions.
    expect(mean).toBeGreaterThanOrEqual(score.interval95[0]);
    expect(mean).toBeLessThanOrEqual(score.interval95[1]);
  },
);

it("lists its policies with their scores", async () => {
  const { code, stdout } = await pops("zoo", "list");
  expect(code).toBe(0);
  const [titles = "", ...lines] = stdout.trimEnd().split("\n");
  expect(titles).toMatch(/^name +layers +weights +bytes +mean score +95 % lower bound +episodes +actions +seed$/);
  expect(lines.map((line) => line.split(" ")[0])).toEqual(zoo.map(({ name }) => name));
  expect(lines.find((line) => line.startsWith("CartPole-v1-teacher "))).toMatch(
    / 4-256-256-128-2 +99,584 +[\d,]+ +[\d.]+ +[\d.]+ +100 +greedy +1$/,
  );
});

it("lists its policies as JSON", async () => {
  const { stdout } = await pops("zoo", "list", "--json");
  expect(zooSchema.shape.policies.parse(JSON.parse(stdout))).toEqual(zoo);
});

it("gives a copy of a policy, which says how it was made", async () => {
  const folder = temporaryFolder();
  const { code, stdout } = await popsIn(folder, "zoo", "get", "CartPole-v1-policy");
  const copy = join(folder, "CartPole-v1-policy.safetensors");
  expect(code).toBe(0);
  expect(stdout).toContain("\nMade by:      npm run zoo -- CartPole-v1 --seed 1\n");
  expect(readFileSync(copy)).toEqual(readFileSync(zooPath({ name: "CartPole-v1-policy" })));
});

it("leaves a file alone that is there already", async () => {
  const output = join(temporaryFolder(), "mine.safetensors");
  writeFileSync(output, "mine");
  const { code, stderr } = await pops("zoo", "get", "CartPole-v1-policy", "--output", output);
  expect({ code, stderr }).toEqual({
    code: 2,
    stderr: `pops: --output: ${output} is there already, and is left as it is: name another file\n`,
  });
  expect(readFileSync(output, "utf8")).toBe("mine");
});

it("names the nearest policy when there is none of a name", async () => {
  expect(await pops("zoo", "get", "CartPole-v1-polcy")).toEqual({
    code: 2,
    stdout: "",
    stderr: 'pops: name: there is no policy "CartPole-v1-polcy" in the zoo; did you mean "CartPole-v1-policy"?\n',
  });
});

it("refuses a file that is not the one of its index", () => {
  const [first, second] = compact;
  expect(() => readZooFile({ ...first!, sha256: second!.sha256 })).toThrow(FileError);
});
