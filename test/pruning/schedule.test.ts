import { describe, expect, it } from "vitest";
import { cubicSparsity } from "../../src/pruning/schedule.ts";

describe("the cubic schedule", () => {
  // Computed from the formula for a clock that runs from 20 % to 80 % of training towards 0.95.
  it.each([
    [0.2, 0],
    [0.3, 0.4002],
    [0.4, 0.6685],
    [0.5, 0.8312],
    [0.6, 0.9148],
    [0.7, 0.9456],
    [0.8, 0.95],
  ])("at %d of training gives %d", (training, sparsity) => {
    expect(cubicSparsity((training - 0.2) / 0.6, 0.95)).toBeCloseTo(sparsity, 4);
  });

  it("of the original is at 11.4 % after the first 20,000 of 500,000 steps", () => {
    expect(cubicSparsity(20_000 / 500_000, 0.99)).toBeCloseTo(0.114, 3);
  });

  it("stands still before its beginning and after its end", () => {
    expect(cubicSparsity(-1, 0.9, 0.3)).toBeCloseTo(0.3, 12);
    expect(cubicSparsity(2, 0.9, 0.3)).toBe(0.9);
  });
});
