import type { Pcg64 } from "../random/pcg64.ts";
import { ClassicControl } from "./classic-control.ts";
import { drawMountain, LEFT, MAX_SPEED, RIGHT } from "./mountain.ts";
import { box, discrete } from "./spaces.ts";
import type { Surface } from "./surface.ts";

const GOAL = 0.5;
const FORCE = 0.001;
const GRAVITY = 0.0025;

export const mountainCarV0 = {
  id: "MountainCar-v0",
  observationSpace: box([LEFT, -MAX_SPEED], [RIGHT, MAX_SPEED]),
  actionSpace: discrete(3),
  maxEpisodeSteps: 200,
  rewardThreshold: -110,
  picture: { width: 600, height: 400, stepsPerSecond: 30 },
};

function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
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

  override render(surface: Surface): void {
    drawMountain(surface, this.state[0]!, GOAL);
  }
}
