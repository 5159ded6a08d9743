import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { measureLatency } from "../../src/cli/latency.ts";
import { policyToSafetensors } from "../../src/exporting/safetensors.ts";
import { policyToSb3 } from "../../src/exporting/sb3.ts";
import { loadPolicy } from "../../src/importing/load.ts";
import type { Architecture, Convolution } from "../../src/network/architecture.ts";
import { torchOf } from "../importing/fixtures/foreign-writer.ts";
import { randomPolicy } from "../importing/fixtures/policies.ts";
import { newFolder, pops, remove } from "./fixtures/pops.ts";

function conv(units: number, kernel: number, stride: number): Convolution {
  return { kind: "conv", units, kernel: [kernel, kernel], stride: [stride, stride], activation: "relu" };
}

const architecture: Architecture = {
  input: [4, 84, 84],
  layers: [
    conv(2, 8, 4),
    { ...conv(3, 3, 2), kernel: [5, 3], padding: [1, 1, 1, 1] },
    { kind: "dense", units: 3, activation: "none" },
  ],
  head: "logits",
};
const folder = newFolder();
const at = (name: string): string => join(folder, name);
const own = randomPolicy({ ...architecture, normalization: { mean: [0], deviation: [255] } });
beforeAll(() => {
  writeFileSync(at("agent.pt"), torchOf(own, ["conv1", "conv2", "logits"]));
  writeFileSync(at("own.safetensors"), policyToSafetensors({ ...own, environment: "Pong-v0" }));
  return () => {
    remove(folder);
  };
});

it("imports convolutions and says what it took them for", async () => {
  const { code, stdout, stderr } = await pops(
    ...["import", "torch", at("agent.pt"), "--strides", "4,2", "--padding", "0,1", "--head", "logits"],
    ...["--env", "Pong-v0", "--output", at("policy.safetensors")],
  );
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout.split("\n").slice(0, 2)).toEqual([
    "4x84x84-2c8s4-3c5x3s2p1-3, 1412 weights, activations relu, relu, none, logits (given)",
    "  images 4x84x84 (the environment's), strides 4, 2 (given), padding 0, 1 (given), flatten chw (usual), scale 255 (bounds of the environment)",
  ]);
  const policy = await loadPolicy(at("policy.safetensors"));
  expect(policy.architecture).toEqual(own.architecture);
  expect(policy.parameters).toEqual(own.parameters);
});

it("shows convolutions", async () => {
  const { stdout } = await pops("inspect", at("own.safetensors"));
  expect(stdout.split("\n").slice(0, 7)).toEqual([
    "4x84x84-2c8s4-3c5x3s2p1-3  logits  Pong-v0",
    "  layer                                                    shape  activation  weights  non-zero  biases",
    "  conv_1                  2 of 8x8, stride 4: 4x84x84 to 2x20x20        relu      512       512       2",
    "  conv_2  3 of 5x3, stride 2, padding 1 1 1 1: 2x20x20 to 3x9x10        relu       90        90       3",
    "  output                                                 270 x 3        none      810       810       3",
    "  1412 weights (1412 non-zero), 8 biases, 5688 bytes, 213710 multiply-adds",
    "  observations are divided by 255, which bytes includes",
  ]);
});

it("plays convolutions", async () => {
  const { code, stdout, stderr } = await pops("evaluate", at("own.safetensors"), "--episodes", "2", "--json");
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(JSON.parse(stdout)).toMatchObject({ environment: "Pong-v0", weights: 1412, score: { episodes: 2 } });
});

it("measures the time of a decision on images", async () => {
  expect(await measureLatency(own)).toBeGreaterThan(0);
});

it("refuses strides that do not fit what the next layer takes, and tells which", async () => {
  const { code, stderr } = await pops(
    ...["import", "torch", at("agent.pt"), "--strides", "2,2", "--env", "Pong-v0", "--output", at("wrong.onnx")],
  );
  expect(code).toBe(3);
  expect(stderr).toMatch(
    /makes images 3x18x19 of images 4x84x84, 1026 numbers, but logits takes 270: strides, padding or/,
  );
});

it("reads a model of Stable-Baselines3 without further options", async () => {
  const nature = [conv(5, 8, 4), conv(4, 4, 2), conv(3, 3, 1)];
  const hidden = { kind: "dense", units: 6, activation: "relu" } as const;
  const layers = [...nature, hidden, ...architecture.layers.slice(-1)];
  writeFileSync(at("model.zip"), policyToSb3(randomPolicy({ ...own.architecture, layers })));
  const imported = await pops("import", "sb3", at("model.zip"), "--env", "Pong-v0", "--output", at("sb3.onnx"));
  expect(imported).toMatchObject({ code: 0, stderr: "" });
  expect(imported.stdout).toContain("4x84x84-32c8s4-64c4s2-64c3s1-6-3");
  expect(imported.stdout).toContain("strides 4, 2, 1 (as the file says)");
});

it("refuses to write a model of Stable-Baselines3 that is no NatureCNN", async () => {
  const exported = await pops("export", "sb3", at("own.safetensors"), "--output", at("back.zip"));
  expect(exported.code).toBe(2);
  expect(exported.stderr).toContain("NatureCNN alone");
});
