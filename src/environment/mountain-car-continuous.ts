import type { Pcg64 } from "../random/pcg64.ts";
import { ClassicControl } from "./classic-control.ts";
import { drawMountain, LEFT, MAX_SPEED, RIGHT } from "./mountain.ts";
import { box } from "./spaces.ts";
import type { Surface } from "./surface.ts";

const GOAL = 0.45;
const POWER = Math.fround(0.0015);
const GRAVITY = 0.0025;
/** The bounds as single-precision arithmetic has them. */
const [left, right, maxSpeed, goal] = [LEFT, RIGHT, MAX_SPEED, GOAL].map(Math.fround) as [
  number,
  number,
  number,
  number,
];

export const mountainCarContinuousV0 = {
  id: "MountainCarContinuous-v0",
  observationSpace: box([LEFT, -MAX_SPEED], [RIGHT, MAX_SPEED]),
  actionSpace: box([-1], [1]),
  maxEpisodeSteps: 999,
  rewardThreshold: 90,
  picture: { width: 600, height: 400, stepsPerSecond: 30 },
};

/**
 * Drive an underpowered car out of a valley with little effort. Observation: position and velocity. Action: force in
 * [-1, 1]. Reward: 100 on reaching position 0.45, which ends the episode, less 0.1 of the force squared at each step.
 * Starts at rest, position uniform in [-0.6, -0.4).
 * Source: Moore 1990; numbers and order of operations as in Gymnasium 1.3, where the state is float64 after a reset and
 * float32, arithmetic included, after the first step.
 */
export class MountainCarContinuous extends ClassicControl {
  #force = 0;

  constructor() {
    super(mountainCarContinuousV0, 2);
  }

  protected override begin(random: Pcg64): void {
    this.state[0] = random.uniform(-0.6, -0.4);
    this.state[1] = 0;
  }

  protected override advance(force: number): boolean {
    this.#force = force;
    const start = this.state[0]!;
    // A start that happens to be a float32 (one in 2^29) is taken for a later state and may miss by a last bit.
    const triple = start === Math.fround(start) ? Math.fround(3 * start) : 3 * start;
    const push = Math.fround(Math.fround(force * POWER) - Math.fround(GRAVITY * Math.cos(triple)));
    const velocity = Math.min(Math.max(Math.fround(this.state[1]! + push), -maxSpeed), maxSpeed);
    const position = Math.min(Math.max(Math.fround(start + velocity), left), right);
    this.state[0] = position;
    // The left wall stops the car.
    this.state[1] = position === left && velocity < 0 ? 0 : velocity;
    return position >= goal && this.state[1] >= 0;
  }

  protected override reward(terminated: boolean): number {
    return (terminated ? 100 : 0) - this.#force ** 2 * 0.1;
  }

  protected override observe(): void {
    this.observation[0] = this.state[0]!;
    this.observation[1] = this.state[1]!;
  }

  override render(surface: Surface): void {
    drawMountain(surface, this.state[0]!, GOAL);
  }
}
