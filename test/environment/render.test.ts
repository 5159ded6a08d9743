import { describe, expect, it } from "vitest";
import type { Environment } from "../../src/environment/environment.ts";
import { makeEnvironment } from "../../src/environment/registry.ts";
import type { Color } from "../../src/environment/surface.ts";
import { Recorder, type Shape } from "./recorder.ts";

/** The picture of an environment whose state variables are set to the given ones. */
function picture(id: string, variables: readonly number[]): Recorder {
  const environment: Environment = makeEnvironment(id);
  environment.reset(0);
  const saved = environment.getState() as { environment: object };
  environment.setState({ ...saved, environment: { ...saved.environment, variables: Float64Array.from(variables) } });
  const surface = new Recorder();
  environment.render?.(surface);
  return surface;
}

function expectShape(shape: Shape | undefined, kind: Shape["kind"], color: Color, numbers: readonly number[]): void {
  expect(shape).toMatchObject({ kind, color });
  expect(shape?.numbers).toHaveLength(numbers.length);
  for (const [index, expected] of numbers.entries()) expect(shape?.numbers[index]).toBeCloseTo(expected, 9);
}

describe("CartPole-v1", () => {
  it("draws cart, pole, axle and track at the places of Gymnasium's picture", () => {
    const { cleared, shapes } = picture("CartPole-v1", [0, 0, 0, 0]);
    expect(cleared).toBe("#ffffff");
    expect(shapes).toHaveLength(4);
    expectShape(shapes[0], "polygon", "#000000", [275, 315, 275, 285, 325, 285, 325, 315]);
    expectShape(shapes[1], "polygon", "#ca9865", [295, 297.5, 295, 172.5, 305, 172.5, 305, 297.5]);
    expectShape(shapes[2], "circle", "#8184cb", [300, 292.5, 5]);
    expectShape(shapes[3], "line", "#000000", [0, 300, 600, 300, 1]);
  });

  it("moves the cart right with x and leans the pole right with theta", () => {
    const { shapes } = picture("CartPole-v1", [1, 0, Math.PI / 2, 0]);
    expectShape(shapes[0], "polygon", "#000000", [400, 315, 400, 285, 450, 285, 450, 315]);
    expectShape(shapes[1], "polygon", "#ca9865", [420, 287.5, 545, 287.5, 545, 297.5, 420, 297.5]);
  });
});

describe("Acrobot-v1", () => {
  it("hangs both links down from the middle at rest, below the goal line", () => {
    const { shapes } = picture("Acrobot-v1", [0, 0, 0, 0]);
    const scale = 400 / 4.4;
    expectShape(shapes[0], "line", "#000000", [0, 200 - scale, 600, 200 - scale, 1]);
    expectShape(shapes[2], "circle", "#cccc00", [300, 200, 0.1 * scale]);
    expectShape(shapes[4], "circle", "#cccc00", [300, 200 + scale, 0.1 * scale]);
    const edge = 0.1 * scale;
    const [near, far] = [200 + scale, 200 + 2 * scale];
    expectShape(shapes[3], "polygon", "#00cccc", [
      ...[300 - edge, near],
      ...[300 + edge, near],
      ...[300 + edge, far],
      ...[300 - edge, far],
    ]);
  });

  it("swings the first link to the right with theta1", () => {
    const { shapes } = picture("Acrobot-v1", [Math.PI / 2, 0, 0, 0]);
    expectShape(shapes[4], "circle", "#cccc00", [300 + 400 / 4.4, 200, 40 / 4.4]);
  });
});

describe("MountainCar-v0", () => {
  it("plants the flag at the goal and puts the wheels on the road in the valley", () => {
    // At the bottom of the valley, sin(3x) = -1 and the road is level.
    const bottom = -Math.PI / 6;
    const { shapes } = picture("MountainCar-v0", [bottom, 0]);
    const x = ((bottom + 1.2) / 1.8) * 600;
    const y = 400 - (0.1 * 600) / 1.8 - 10;
    expectShape(shapes[100], "polygon", "#000000", [x - 20, y, x - 20, y - 20, x + 20, y - 20, x + 20, y]);
    expectShape(shapes[101], "circle", "#808080", [x - 10, y, 8]);
    expectShape(shapes[102], "circle", "#808080", [x + 10, y, 8]);
    const pole = (1.7 / 1.8) * 600;
    const foot = 400 - ((0.45 * Math.sin(1.5) + 0.55) * 600) / 1.8;
    expectShape(shapes[103], "line", "#000000", [pole, foot, pole, foot - 50, 1]);
    expectShape(shapes[104], "polygon", "#cccc00", [pole, foot - 50, pole, foot - 40, pole + 25, foot - 45]);
  });

  it("draws the road from edge to edge without gaps", () => {
    const road = picture("MountainCar-v0", [-0.5, 0]).shapes.slice(0, 100);
    expect(road[0]?.numbers[0]).toBeCloseTo(0, 9);
    expect(road[99]?.numbers[2]).toBeCloseTo(600, 9);
    for (let piece = 1; piece < road.length; piece++) {
      expect(road[piece]?.numbers.slice(0, 2)).toEqual(road[piece - 1]?.numbers.slice(2, 4));
    }
  });
});

describe("MountainCarContinuous-v0", () => {
  it("is MountainCar's picture but for the flag", () => {
    const continuous = picture("MountainCarContinuous-v0", [-0.5, 0]).shapes;
    expect(continuous.slice(0, 103)).toEqual(picture("MountainCar-v0", [-0.5, 0]).shapes.slice(0, 103));
    expect(continuous[103]?.numbers[0]).toBeCloseTo((1.65 / 1.8) * 600, 9);
  });
});

describe("Pendulum-v1", () => {
  it("stands up at angle 0 and leans left with it", () => {
    const scale = 400 / 4.4;
    const edge = 0.1 * scale;
    const upright = picture("Pendulum-v1", [0, 0]).shapes;
    expectShape(upright[2], "circle", "#cc4d4d", [300, 200 - scale, edge]);
    expectShape(upright[0], "polygon", "#cc4d4d", [
      ...[300 + edge, 200],
      ...[300 - edge, 200],
      ...[300 - edge, 200 - scale],
      ...[300 + edge, 200 - scale],
    ]);
    expectShape(picture("Pendulum-v1", [Math.PI / 2, 0]).shapes[2], "circle", "#cc4d4d", [300 - scale, 200, edge]);
  });
});
