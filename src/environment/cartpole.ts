import type { Pcg64 } from "../random/pcg64.ts";
import { ClassicControl } from "./classic-control.ts";
import { drawRectangle } from "./drawing.ts";
import { box, discrete } from "./spaces.ts";
import type { Surface } from "./surface.ts";

const GRAVITY = 9.8;
const POLE_MASS = 0.1;
const TOTAL_MASS = POLE_MASS + 1;
/** Half the length of the pole, in metres. */
const HALF_LENGTH = 0.5;
const POLE_MASS_LENGTH = POLE_MASS * HALF_LENGTH;
const FORCE = 10;
/** Seconds a step. */
const TAU = 0.02;
const X_LIMIT = 2.4;
const THETA_LIMIT = (12 * 2 * Math.PI) / 360;

const spaces = {
  observationSpace: box(
    [-2 * X_LIMIT, -Infinity, -2 * THETA_LIMIT, -Infinity],
    [2 * X_LIMIT, Infinity, 2 * THETA_LIMIT, Infinity],
  ),
  actionSpace: discrete(2),
  picture: { width: 600, height: 400, stepsPerSecond: 50 },
};
export const cartPoleV0 = { id: "CartPole-v0", ...spaces, maxEpisodeSteps: 200, rewardThreshold: 195 };
export const cartPoleV1 = { id: "CartPole-v1", ...spaces, maxEpisodeSteps: 500, rewardThreshold: 475 };

/**
 * Balance a pole on a cart. Observation: cart position (m), velocity, pole angle (rad, 0 is upright), angular velocity.
 * Actions: push left (0) or right (1) with 10 N. Reward 1 a step, the last one included. Ends when the cart leaves
 * +-2.4 m or the pole +-12 degrees. Starts with all four uniform in [-0.05, 0.05).
 * Source: Barto, Sutton & Anderson 1983; numbers and order of operations as in Gymnasium 1.3.
 */
export class CartPole extends ClassicControl {
  constructor(spec: typeof cartPoleV1) {
    super(spec, 4);
  }

  protected override begin(random: Pcg64): void {
    for (let index = 0; index < 4; index++) this.state[index] = random.uniform(-0.05, 0.05);
  }

  protected override advance(action: number): boolean {
    const state = this.state;
    const velocity = state[1]!;
    const angularVelocity = state[3]!;
    const cos = Math.cos(state[2]!);
    const sin = Math.sin(state[2]!);
    const force = action === 1 ? FORCE : -FORCE;
    const push = (force + POLE_MASS_LENGTH * (angularVelocity * angularVelocity) * sin) / TOTAL_MASS;
    const angularAcceleration =
      (GRAVITY * sin - cos * push) / (HALF_LENGTH * (4 / 3 - (POLE_MASS * (cos * cos)) / TOTAL_MASS));
    const acceleration = push - (POLE_MASS_LENGTH * angularAcceleration * cos) / TOTAL_MASS;
    // Explicit Euler: positions move with the old velocities.
    const x = state[0]! + TAU * velocity;
    const theta = state[2]! + TAU * angularVelocity;
    state[0] = x;
    state[1] = velocity + TAU * acceleration;
    state[2] = theta;
    state[3] = angularVelocity + TAU * angularAcceleration;
    return x < -X_LIMIT || x > X_LIMIT || theta < -THETA_LIMIT || theta > THETA_LIMIT;
  }

  protected override reward(): number {
    return 1;
  }

  protected override observe(): void {
    const { state, observation } = this;
    // Written out: with a loop a whole step takes 7 % longer.
    observation[0] = state[0]!;
    observation[1] = state[1]!;
    observation[2] = state[2]!;
    observation[3] = state[3]!;
  }

  /** The whole track of 4.8 m fills the width; at 600 x 400 every length is Gymnasium's. */
  override render(surface: Surface): void {
    const scale = surface.width / (2 * X_LIMIT);
    const x = surface.width / 2 + this.state[0]! * scale;
    const track = 0.8 * scale;
    const axle = track + 0.06 * scale;
    const cart = { left: -0.2 * scale, right: 0.2 * scale, bottom: -0.12 * scale, top: 0.12 * scale };
    const pole = {
      left: -0.04 * scale,
      right: 0.04 * scale,
      bottom: -0.04 * scale,
      top: (2 * HALF_LENGTH - 0.04) * scale,
    };
    surface.clear("#ffffff");
    drawRectangle(surface, x, track, 0, cart, "#000000");
    drawRectangle(surface, x, axle, -this.state[2]!, pole, "#ca9865");
    surface.circle(x, surface.height - axle, 0.04 * scale, "#8184cb");
    surface.line(0, surface.height - track, surface.width, surface.height - track, "#000000", 1);
  }
}
