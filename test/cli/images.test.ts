import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { policyToSb3 } from "../../src/exporting/sb3.ts";
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
beforeAll(() => {
  writeFileSync(at("agent.pt"), torchOf(randomPolicy(architecture), ["conv1", "conv2", "logits"]));
  return () => {
    remove(folder);
  };
});

it("imports convolutions, says what it took them for, shows them, and plays them", async () => {
  const imported = await pops(
    ...["import", "torch", at("agent.pt"), "--strides", "4,2", "--padding", "0,1", "--head", "logits"],
    ...["--env", "Pong-v0", "--output", at("policy.safetensors")],
  );
  expect(imported).toMatchObject({ code: 0, stderr: "" });
  expect(imported.stdout.split("\n").slice(0, 2)).toEqual([
    "4x84x84-2c8s4-3c5x3s2p1-3, 1412 weights, activations relu, relu, none, logits (given)",
    "  images 4x84x84 (the environment's), strides 4, 2 (given), padding 0, 1 (given), flatten chw (usual), scale 255 (bounds of the environment)",
  ]);
  const inspected = await pops("inspect", at("policy.safetensors"));
  expect(inspected.stdout.split("\n").slice(0, 7)).toEqual([
    "4x84x84-2c8s4-3c5x3s2p1-3  logits  Pong-v0",
    "  layer                                                    shape  activation  weights  non-zero  biases",
    "  conv_1                  2 of 8x8, stride 4: 4x84x84 to 2x20x20        relu      512       512       2",
    "  conv_2  3 of 5x3, stride 2, padding 1 1 1 1: 2x20x20 to 3x9x10        relu       90        90       3",
    "  output                                                 270 x 3        none      810       810       3",
    "  1412 weights (1412 non-zero), 8 biases, 5688 bytes, 213710 multiply-adds",
    "  observations are divided by 255, which bytes includes",
  ]);
  const played = await pops("evaluate", at("policy.safetensors"), "--episodes", "2", "--json");
  expect(played).toMatchObject({ code: 0, stderr: "" });
  expect(JSON.parse(played.stdout)).toMatchObject({ environment: "Pong-v0", score: { episodes: 2 } });
});

it("refuses strides that do not fit what the next layer takes, and tells which", async () => {
  const { code, stderr } = await pops(
    ...["import", "torch", at("agent.pt"), "--strides", "2,2", "--env", "Pong-v0", "--output", at("wrong.onnx")],
  );
  expect(code).toBe(3);
  expect(stderr).toMatch(
    /makes images 3x18x19 of images 4x84x84, 1026 numbers, but logits takes 270: state other strides/,
  );
});

it("reads a model of Stable-Baselines3 without further options, and refuses to write one that has no NatureCNN", async () => {
  const nature = [conv(5, 8, 4), conv(4, 4, 2), conv(3, 3, 1)];
  const hidden = { kind: "dense", units: 6, activation: "relu" } as const;
  const layers = [...nature, hidden, ...architecture.layers.slice(-1)];
  const policy = randomPolicy({ ...architecture, layers, normalization: { mean: [0], deviation: [255] } });
  writeFileSync(at("model.zip"), policyToSb3(policy));
  const imported = await pops("import", "sb3", at("model.zip"), "--env", "Pong-v0", "--output", at("sb3.onnx"));
  expect(imported).toMatchObject({ code: 0, stderr: "" });
  expect(imported.stdout).toContain("4x84x84-32c8s4-64c4s2-64c3s1-6-3");
  expect(imported.stdout).toContain("strides 4, 2, 1 (as the file says)");
  await pops(
    ...["import", "torch", at("agent.pt"), "--strides", "4,2", "--padding", "0,1", "--head", "logits"],
    ...["--env", "Pong-v0", "--output", at("small.onnx")],
  );
  const exported = await pops("export", "sb3", at("small.onnx"), "--output", at("back.zip"));
  expect(exported.code).toBe(2);
  expect(exported.stderr).toContain("NatureCNN alone");
});
