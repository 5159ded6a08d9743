import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { pops, temporaryFolder } from "../cli/fixtures/pops.ts";
import { training } from "../cli/fixtures/tiny.ts";

/** A script of `bench/` as npm runs it. */
function script(name: string, ...parameters: string[]): string {
  const path = fileURLToPath(new URL(`../../bench/${name}.ts`, import.meta.url));
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    ["--import", import.meta.resolve("tsx"), path, ...parameters],
    { encoding: "utf8" },
  );
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return stdout;
}

it("draws teacher and policy of the zoo side by side, a second of it in 17 frames", () => {
  const output = join(temporaryFolder(), "cartpole.gif");
  const printed = script("gif", "CartPole-v1", "--seconds", "1", "--output", output);
  const bytes = readFileSync(output);
  expect(printed).toBe(`${output}: 17 frames, ${bytes.length} bytes\n`);
  expect(bytes.subarray(0, 6).toString("latin1")).toBe("GIF89a");
  expect([bytes.readUInt16LE(6), bytes.readUInt16LE(8)]).toEqual([608, 200]);
});

it("draws the training of a run from its log: returns, looks and entropy", async () => {
  const folder = temporaryFolder();
  const run = join(folder, "run");
  expect(await pops("train", "CartPole-v1", ...training(1024), "--out", run)).toMatchObject({ code: 0 });
  const output = join(folder, "training.svg");
  script("training-curve", run, "--output", output);
  const svg = readFileSync(output, "utf8");
  expect(svg).toMatch(/^<svg .*<\/svg>\n?$/s);
  for (const text of ["Training of the teacher on CartPole-v1", "CartPole-v1: mean return", "entropy of the actions"])
    expect(svg).toContain(text);
});
