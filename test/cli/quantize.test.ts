import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { policyToSafetensors } from "../../src/exporting/safetensors.ts";
import { dense } from "../../src/network/architecture.ts";
import { stream } from "../../src/random/pcg64.ts";
import { encodeSafetensors } from "../../src/safetensors.ts";
import { randomPolicy } from "../importing/fixtures/policies.ts";
import { pops, temporaryFolder } from "./fixtures/pops.ts";

const policy = fileURLToPath(new URL("../../zoo/CartPole-v1-policy.safetensors", import.meta.url));

/** Share of equal actions that a command reports. */
const agreement = (stdout: string): number => Number(/does: ([\d.]+) %/.exec(stdout)?.[1]);

it.each(["qdq", "dynamic"])(
  "quantises a policy of 6 weights that acts as it does, is played again and says what it is (%s)",
  async (scheme) => {
    const file = join(temporaryFolder(), "p.onnx");
    const made = await pops("export", "onnx", policy, "--quantize", scheme, "--calibration", "3000", "--output", file);
    expect(made).toMatchObject({ code: 0, stderr: "" });
    expect(made.stdout).toContain("calibrated on 3,000 observations of CartPole-v1, seed 1");
    expect(agreement(made.stdout)).toBeGreaterThanOrEqual(99);
    const played = await pops("evaluate", file, "--env", "CartPole-v1", "--episodes", "20", "--json");
    expect(JSON.parse(played.stdout)).toMatchObject({ environment: "CartPole-v1", score: { mean: 500, episodes: 20 } });
    const shown = await pops("inspect", file);
    expect(shown.stdout).toContain("layers: 4-1-2");
    expect(shown.stdout).toContain(`quantization: ${scheme}: int8 weights`);
  },
  120_000,
);

it("gives the same bytes again", async () => {
  const folder = temporaryFolder();
  const files = ["a", "b"].map((name) => join(folder, `${name}.onnx`));
  for (const file of files) {
    await pops("export", "onnx", policy, "--quantize", "qdq", "--calibration", "500", "--seed", "7", "--output", file);
  }
  const [a, b] = files.map((file) => readFileSync(file));
  expect(a?.equals(b!)).toBe(true);
}, 120_000);

it("calibrates on a log where there is no environment", async () => {
  const folder = temporaryFolder();
  const [file, log] = [join(folder, "p.safetensors"), join(folder, "log.safetensors")];
  const placeless = { ...randomPolicy(dense(3, [8], 4, "logits")), environment: undefined };
  writeFileSync(file, policyToSafetensors(placeless));
  const random = stream(1, "log");
  const data = Float32Array.from({ length: 6000 }, () => random.normal());
  writeFileSync(log, encodeSafetensors(new Map([["observations", { shape: [2000, 3], data }]]), {}));
  const output = join(folder, "p.onnx");
  const words = ["export", "onnx", file, "--quantize", "qdq", "--output", output];
  expect(await pops(...words)).toMatchObject({ code: 2, stderr: expect.stringContaining("--env: ") as string });
  const made = await pops(...words, "--observations", log);
  expect(made).toMatchObject({ code: 0, stderr: "" });
  expect(made.stdout).toContain("calibrated on 1,000 observations of a log, SHA-256 ");
  expect(agreement(made.stdout)).toBeGreaterThanOrEqual(98);
}, 120_000);

it.each([
  [["export", "onnx", policy, "--quantize", "int4"], '--quantize: "int4" is neither qdq nor dynamic'],
  [["export", "safetensors", policy, "--quantize", "qdq"], "--quantize: is for onnx, not for safetensors"],
  [["export", "onnx", policy, "--calibration", "5"], "--calibration: is for --quantize"],
  [["export", "onnx", policy, "--observations", "x.npy"], "--observations: is for --quantize"],
  [
    ["export", "onnx", policy, "--quantize", "qdq", "--observations-key", "x"],
    "--observations-key: is for --observations",
  ],
])("refuses %j", async (words, message) => {
  const { code, stderr } = await pops(...words, "--output", join(temporaryFolder(), "p.onnx"));
  expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining(message) as string });
});
