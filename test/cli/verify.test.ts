import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { zooEntry, zooPath } from "../../src/cli/zoo.ts";
import { policyToSafetensors } from "../../src/exporting/safetensors.ts";
import { dense } from "../../src/network/architecture.ts";
import { compiler } from "../../src/verification/compiler.ts";
import { pops, temporaryFolder } from "./fixtures/pops.ts";

const MINUTES = 60_000;
const compress = ["compress", zooPath(zooEntry("CartPole-v1-teacher")), "--quick", "--set", "pops.student.hidden=[2]"];
const cartpole = zooPath(zooEntry("CartPole-v1-policy"));

describe.skipIf(compiler() === undefined)("pops verify (needs a compiler of C)", () => {
  it("passes every export of a policy that exports well", { timeout: 3 * MINUTES }, async () => {
    const { code, stdout, stderr } = await pops("verify", cartpole, "--rows", "3000", "--episodes", "20", "--json");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const { exports } = JSON.parse(stdout) as { exports: { name: string; quantized: boolean; agreement: number }[] };
    expect(exports.map(({ name }) => name)).toEqual(["onnx", "onnx-qdq", "js", "c", "c-int16", "c-int8"]);
    expect(exports.filter(({ quantized }) => !quantized).every(({ agreement }) => agreement === 1)).toBe(true);
    expect(stdout).toContain('"passed":true');
  });

  it("plays LunarLander and Pendulum as the policies do, in whole numbers", { timeout: 4 * MINUTES }, async () => {
    for (const id of ["LunarLander-v3", "Pendulum-v1"]) {
      const file = zooPath(zooEntry(`${id}-policy`));
      const { code, stderr } = await pops("verify", file, "--exports", "c-int8", "--rows", "6000", "--episodes", "50");
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    }
  });

  it("ends with exit code 9 where whole numbers decide otherwise", { timeout: 3 * MINUTES }, async () => {
    const folder = temporaryFolder();
    const file = join(folder, "close.safetensors");
    // Two outputs of thousands that differ by less than a weight of 8 bits tells apart.
    const architecture = dense(4, [], 2, "q-values");
    const parameters = Float32Array.of(1000, 1000.5, 1000, 1000.9, 1000, 999.2, 1000, 1000.7, 0, 0);
    writeFileSync(file, policyToSafetensors({ architecture, parameters, environment: "CartPole-v1", provenance: {} }));
    const { code, stdout, stderr } = await pops("verify", file, "--exports", "c,c-int8", "--rows", "500");
    expect(code).toBe(9);
    expect(stdout).toMatch(/\nc .* passed\nc-int8 .* FAILED\n$/);
    expect(stderr).toMatch(/^pops: c-int8: not what /);
  });

  it("proves the policies of a run in whole numbers, and writes them in C", { timeout: 4 * MINUTES }, async () => {
    const out = join(temporaryFolder(), "run");
    const target = ["--target", "c-int8", "--max-bytes", "450", "--out", out, "--json"];
    const { code, stdout } = await pops(...compress, ...target);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ target: "c-int8", smaller: true });
    const again = join(out, "again.c");
    const own = join(out, "policies", "policy.safetensors");
    expect(await pops("export", "c", own, "--quantize", "int8", "--output", again)).toMatchObject({ code: 0 });
    const text = (path: string): string => readFileSync(path, "utf8").replace(/#include ".*"/, "");
    expect(text(join(out, "policies", "policy.c"))).toBe(text(again));
  });

  it("ends with exit code 5 where nothing that fits holds the objective", { timeout: 4 * MINUTES }, async () => {
    const out = join(temporaryFolder(), "run");
    const { code, stderr } = await pops(...compress, "--target", "c-int8", "--max-bytes", "20", "--out", out);
    expect(code).toBe(5);
    expect(stderr).toMatch(/takes \d+ bytes, more than the 20 that it may have/);
  });
});

it.each([
  [
    ["verify", cartpole, "--exports", "c,rust"],
    'there is no "rust"; known are onnx, onnx-qdq, onnx-dynamic, js, c, c-int16, c-int8',
  ],
  [["compress", cartpole, "--target", "onnx"], 'there is no "onnx"; known are c-int8, c-int16'],
  [["compress", cartpole, "--max-bytes", "100"], "--max-bytes: is for --target"],
  [["export", "js", cartpole, "--output", "x.js", "--prefix", "x"], "--prefix: is for c, not for js"],
  [["export", "c", cartpole, "--output", "x.c", "--quantize", "qdq"], "--quantize: is int8 or int16 for c, not qdq"],
  [["export", "c", cartpole, "--output", "x.c", "--prefix", "a-b"], "--prefix: a-b is no identifier of C"],
  [["export", "c", cartpole, "--output", "x.h"], "--output: x.h is to be a source of C: name it .c"],
  [["export", "c", cartpole, "--output", "x.c", "--calibration", "5"], "--calibration: is for --quantize"],
])("refuses pops %j", async (parameters, message) => {
  const { code, stderr } = await pops(...parameters);
  expect(code).toBe(2);
  expect(stderr).toContain(message);
});
