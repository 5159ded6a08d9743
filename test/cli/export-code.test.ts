import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, it } from "vitest";
import { zooEntry, zooPath } from "../../src/cli/zoo.ts";
import { pops, temporaryFolder } from "./fixtures/pops.ts";

const MINUTES = 60_000;
const fileOf = (name: string): string => zooPath(zooEntry(name));

it.each([
  ["js", "ts"],
  ["mjs", "mts"],
])("writes a module .%s and its types .d.%s beside it", { timeout: 2 * MINUTES }, async (extension, types) => {
  const folder = temporaryFolder();
  const output = join(folder, `policy.v1.${extension}`);
  const { code, stdout, stderr } = await pops("export", "js", fileOf("CartPole-v1-policy"), "--output", output);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toMatch(
    new RegExp(`^${output}: [\\d]+ bytes\\n${join(folder, "policy.v1.d")}.${types}: [\\d]+ bytes\\n$`),
  );
  expect(readdirSync(folder).sort()).toEqual([`policy.v1.${extension}`, `policy.v1.d.${types}`].sort());
  const { act } = (await import(pathToFileURL(output).href)) as { act: (observation: number[]) => number };
  expect([act([0, 0, 0.1, 0]), act([0, 0, -0.1, 0])]).toEqual([1, 0]);
});

it("types say what comes out, to the strictest compiler", { timeout: 4 * MINUTES }, async () => {
  const folder = temporaryFolder();
  for (const [name, file] of [
    ["CartPole-v1-policy", "choices.mjs"],
    ["Pendulum-v1-policy", "numbers.mjs"],
  ] as const) {
    expect(await pops("export", "js", fileOf(name), "--output", join(folder, file))).toMatchObject({ code: 0 });
  }
  const program = join(folder, "program.mts");
  writeFileSync(
    program,
    `import * as choices from "./choices.mjs";
import * as numbers from "./numbers.mjs";
export const choice: number = choices.act([0, 0, 0, 0]);
export const torque: Float32Array = numbers.act(new Float64Array(3));
export const outputs: Float32Array = choices.forward(new Float32Array(4), new Float32Array(2));
export const mean: number | undefined = choices.meta.score?.mean;
export const made: string | undefined = numbers.meta.provenance["creator"];
// @ts-expect-error: it is frozen.
choices.meta.layers = "";
`,
  );
  const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
  const strict = ["--noEmit", "--strict", "--exactOptionalPropertyTypes", "--noUncheckedIndexedAccess"];
  const { status, stdout } = spawnSync(
    process.execPath,
    [tsc, ...strict, "--module", "nodenext", "--target", "es2023", program],
    { encoding: "utf8", cwd: folder },
  );
  expect({ status, stdout }).toEqual({ status: 0, stdout: "" });
});

it("writes a page for another environment that the policy fits", { timeout: 2 * MINUTES }, async () => {
  const output = join(temporaryFolder(), "page.html");
  const file = fileOf("CartPole-v0-policy");
  expect(await pops("export", "html", file, "--env", "CartPole-v1", "--output", output)).toMatchObject({
    code: 0,
    stderr: "",
  });
  expect(readFileSync(output, "utf8")).toContain("<h1>CartPole-v1</h1>");
});

it("an import makes a policy file, no code", { timeout: 2 * MINUTES }, async () => {
  const file = fileOf("CartPole-v1-policy");
  const output = join(temporaryFolder(), "policy.js");
  expect(await pops("import", "safetensors", file, "--output", output)).toEqual({
    code: 2,
    stdout: "",
    stderr: `pops: --output: ${output} is to be a policy file: name it .safetensors or .onnx\n`,
  });
});
