import { describe, expect, it } from "vitest";
import { FileError } from "../../src/errors.ts";
import type { ImportOptions } from "../../src/importing/dense-layers.ts";
import { policyFromStateDict, stateDictOf } from "../../src/importing/state-dict.ts";
import type { NamedTensor } from "../../src/importing/torch.ts";
import type { Policy } from "../../src/network/policy.ts";
import { elementsOf } from "../../src/shape.ts";

function stateDict(shapes: Readonly<Record<string, readonly number[]>>): Map<string, NamedTensor> {
  const tensorOf = (shape: readonly number[]): NamedTensor => ({
    shape,
    data: new Float32Array(elementsOf(shape)).fill(1),
  });
  return new Map(Object.entries(shapes).map(([name, shape]) => [name, tensorOf(shape)]));
}

/** A dense layer. */
const layer = (name: string, inputs: number, outputs: number) => ({
  [`${name}.weight`]: [outputs, inputs],
  [`${name}.bias`]: [outputs],
});

const read = (shapes: Readonly<Record<string, readonly number[]>>, options: ImportOptions = {}): Policy =>
  policyFromStateDict(stateDict(shapes), options, "x", "agent.pt");

const layersOf = ({ provenance }: Policy): string | undefined => provenance["layers"];

describe("a state dict with more than dense layers and convolutions", () => {
  const outside = { ...layer("first", 4, 8), ...layer("last", 8, 2) };
  const actor = { ...layer("actor.0", 4, 8), ...layer("actor.2", 8, 2), ...layer("critic.0", 4, 1) };
  it.each([
    [
      "an LSTM between layers",
      { ...outside, "lstm.weight_ih_l0": [32, 8], "lstm.bias_ih_l0": [32] },
      "lstm.weight_ih_l0",
    ],
    ["a layer in two parts", { ...outside, "middle.weight_g": [8, 1], "middle.weight_v": [8, 8] }, "middle.weight_g"],
    ["statistics of observations", { "0.mean": [4], "0.std": [4], ...outside }, "0.mean, 0.std"],
    ["a batch normalisation without factors", { ...outside, "norm.running_mean": [8] }, "norm.running_mean"],
    ["a part of an actor", { ...actor, "actor.1.weight_g": [8, 1] }, "actor.1.weight_g"],
    ["an LSTM beside an actor", { ...actor, "lstm.weight_hh_l0": [16, 4] }, "lstm.weight_hh_l0"],
    ["normalised observations of an actor", { ...actor, "obs_norm.mean": [4] }, "obs_norm.mean"],
  ])("is refused: %s", (_, shapes, named) => {
    expect(() => read(shapes)).toThrow(FileError);
    expect(() => read(shapes)).toThrow(`agent.pt: has ${named}`);
  });

  it("is read by the layers that are named", () => {
    expect(layersOf(read({ ...outside, "scale.mean": [4] }, { layers: ["first", "last"] }))).toBe(
      "first, last (given)",
    );
  });

  it.each([
    ["an optimiser", { ...outside, "optimizer.state.0.exp_avg": [8, 4] }, "first, last (guessed)"],
    ["deviations", { ...outside, log_std: [2] }, "first, last (guessed)"],
    ["a critic and its parts", { ...actor, "critic.norm.mean": [4] }, "actor.0, actor.2 (named as in CleanRL PPO)"],
  ])("may have what greedy actions do without: %s", (_, shapes, layers) => {
    expect(layersOf(read(shapes))).toBe(layers);
  });
});

describe("layers of one size, whose order their sizes leave open", () => {
  const shapes = { ...layer("one", 4, 8), ...layer("two", 8, 8), ...layer("three", 8, 8), ...layer("out", 8, 2) };

  it("are in the order in which they were defined", () => {
    expect(layersOf(read(shapes))).toBe("one, two, three, out (guessed)");
  });

  it("are in the order of their names in a safetensors file, which has another one", () => {
    const fc = { ...layer("fc_10", 8, 8), ...layer("fc_1", 4, 8), ...layer("fc_2", 8, 8), ...layer("out", 8, 2) };
    const held = [...stateDict(fc)].map(([name, tensor]) => [name, { ...tensor, dtype: "F32" as const }] as const);
    const tensors = stateDictOf({ tensors: new Map(held), metadata: {} });
    expect(layersOf(policyFromStateDict(tensors, {}, "x", "agent.safetensors"))).toBe(
      "fc_1, fc_2, fc_10, out (guessed)",
    );
  });
});
