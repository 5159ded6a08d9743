import type { Pcg64 } from "../random/pcg64.ts";
import { ClassicControl } from "./classic-control.ts";
import { drawRectangle } from "./drawing.ts";
import { box, discrete } from "./spaces.ts";
import type { Surface } from "./surface.ts";

const LEFT = -1.2;
const RIGHT = 0.6;
const GOAL = 0.5;
const MAX_SPEED = 0.07;
const FORCE = 0.001;
const GRAVITY = 0.0025;

export const mountainCarV0 = {
  id: "MountainCar-v0",
  observationSpace: box([LEFT, -MAX_SPEED], [RIGHT, MAX_SPEED]),
  actionSpace: discrete(3),
  maxEpisodeSteps: 200,
  rewardThreshold: -110,
};

function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}

/** Height of the road, for drawing. */
function height(position: number): number {
  return Math.sin(3 * position) * 0.45 + 0.55;
}

/**
 * Drive an underpowered car out of a valley. Observation: position and velocity. Actions: push left (0), none (1), push
 * right (2). Reward -1 a step; ends at position 0.5. Starts at rest, position uniform in [-0.6, -0.4).
 * Source: Moore 1990; numbers and order of operations as in Gymnasium 1.3.
 */
export class MountainCar extends ClassicControl {
  constructor() {
    super(mountainCarV0, 2);
  }

  protected override begin(random: Pcg64): void {
    this.state[0] = random.uniform(-0.6, -0.4);
    this.state[1] = 0;
  }

  protected override advance(action: number): boolean {
    const state = this.state;
    const pull = (action - 1) * FORCE + Math.cos(3 * state[0]!) * -GRAVITY;
    const velocity = clamp(state[1]! + pull, -MAX_SPEED, MAX_SPEED);
    const position = clamp(state[0]! + velocity, LEFT, RIGHT);
    state[0] = position;
    // The left wall stops the car.
    state[1] = position === LEFT && velocity < 0 ? 0 : velocity;
    return position >= GOAL && state[1] >= 0;
  }

  protected override reward(): number {
    return -1;
  }

  protected override observe(): void {
    this.observation[0] = this.state[0]!;
    this.observation[1] = this.state[1]!;
  }

  /** The whole road fills the width; at 600 x 400 every length is Gymnasium's. */
  override render(surface: Surface): void {
    const scale = surface.width / (RIGHT - LEFT);
    const pixel = surface.width / 600;
    const across = (position: number): number => (position - LEFT) * scale;
    const up = (position: number): number => height(position) * scale;
    surface.clear("#ffffff");
    for (let piece = 0; piece < 100; piece++) {
      const [from, to] = [piece, piece + 1].map((end) => LEFT + ((RIGHT - LEFT) * end) / 100) as [number, number];
      surface.line(across(from), surface.height - up(from), across(to), surface.height - up(to), "#000000", 1);
    }
    const position = this.state[0]!;
    const slope = Math.cos(3 * position);
    const x = across(position);
    const y = up(position) + 10 * pixel;
    const body = { left: -20 * pixel, right: 20 * pixel, bottom: 0, top: 20 * pixel };
    drawRectangle(surface, x, y, slope, body, "#000000");
    for (const wheel of [-10 * pixel, 10 * pixel]) {
      const wheelY = y + wheel * Math.sin(slope);
      surface.circle(x + wheel * Math.cos(slope), surface.height - wheelY, 8 * pixel, "#808080");
    }
    const pole = across(GOAL);
    const foot = surface.height - up(GOAL);
    const top = foot - 50 * pixel;
    surface.line(pole, foot, pole, top, "#000000", 1);
    surface.polygon([pole, top, pole, top + 10 * pixel, pole + 25 * pixel, top + 5 * pixel], "#cccc00");
  }
}
