import type { Pcg64 } from "../random/pcg64.ts";
import { ClassicControl } from "./classic-control.ts";
import { drawRectangle } from "./drawing.ts";
import { box, discrete } from "./spaces.ts";
import type { Surface } from "./surface.ts";

const GRAVITY = 9.8;
/** Seconds a step: one Runge-Kutta step. */
const DT = 0.2;
/** Both links: length 1 m, mass 1 kg, moment of inertia 1 kg m2, centre of mass in the middle. */
const LENGTH = 1;
const MASS = 1;
const INERTIA = 1;
const CENTRE = 0.5;
const MAX_VELOCITY_1 = 4 * Math.PI;
const MAX_VELOCITY_2 = 9 * Math.PI;

const high = [1, 1, 1, 1, MAX_VELOCITY_1, MAX_VELOCITY_2];
export const acrobotV1 = {
  id: "Acrobot-v1",
  observationSpace: box(
    high.map((value) => -value),
    high,
  ),
  actionSpace: discrete(3),
  maxEpisodeSteps: 500,
  rewardThreshold: -100,
  picture: { width: 500, height: 500, stepsPerSecond: 15 },
};

/** `angle` plus the multiple of 2 pi that brings it into [-pi, pi]. */
function wrap(angle: number): number {
  while (angle > Math.PI) angle -= 2 * Math.PI;
  while (angle < -Math.PI) angle += 2 * Math.PI;
  return angle;
}

function clamp(value: number, limit: number): number {
  return Math.min(Math.max(value, -limit), limit);
}

/**
 * Swing a two-link pendulum, driven at its middle joint, above a line one link length over its pivot. Observation: cosine
 * and sine of the first angle (0 hangs down) and of the second (relative to the first), both angular velocities.
 * Actions: torque -1 (0), 0 (1), +1 (2) Nm. Reward -1 a step, 0 on reaching the line, which ends the episode.
 * Starts with all four variables uniform in [-0.1, 0.1), rounded to float32.
 * Source: Sutton 1996; dynamics of Sutton & Barto's book; numbers and order of operations as in Gymnasium 1.3.
 */
export class Acrobot extends ClassicControl {
  /** Slopes of the four Runge-Kutta stages, and the state at which the next one is taken. */
  readonly #slopes = [new Float64Array(4), new Float64Array(4), new Float64Array(4), new Float64Array(4)] as const;
  readonly #at = new Float64Array(4);

  constructor() {
    super(acrobotV1, 4);
  }

  protected override begin(random: Pcg64): void {
    for (let index = 0; index < 4; index++) this.state[index] = Math.fround(random.uniform(-0.1, 0.1));
  }

  protected override advance(action: number): boolean {
    const state = this.state;
    const torque = action - 1;
    const [k1, k2, k3, k4] = this.#slopes;
    slope(state, torque, k1);
    slope(this.#along(k1, DT / 2), torque, k2);
    slope(this.#along(k2, DT / 2), torque, k3);
    slope(this.#along(k3, DT), torque, k4);
    for (let index = 0; index < 4; index++) {
      state[index]! += (DT / 6) * (k1[index]! + 2 * k2[index]! + 2 * k3[index]! + k4[index]!);
    }
    const theta1 = wrap(state[0]!);
    const theta2 = wrap(state[1]!);
    state[0] = theta1;
    state[1] = theta2;
    state[2] = clamp(state[2]!, MAX_VELOCITY_1);
    state[3] = clamp(state[3]!, MAX_VELOCITY_2);
    return -Math.cos(theta1) - Math.cos(theta2 + theta1) > 1;
  }

  /** The present state moved along `slopes` for `time`. */
  #along(slopes: Float64Array, time: number): Float64Array {
    for (let index = 0; index < 4; index++) this.#at[index] = this.state[index]! + time * slopes[index]!;
    return this.#at;
  }

  protected override reward(terminated: boolean): number {
    return terminated ? 0 : -1;
  }

  protected override observe(): void {
    const { state, observation } = this;
    observation[0] = Math.cos(state[0]!);
    observation[1] = Math.sin(state[0]!);
    observation[2] = Math.cos(state[1]!);
    observation[3] = Math.sin(state[1]!);
    observation[4] = state[2]!;
    observation[5] = state[3]!;
  }

  /** Pivot in the middle, 4.4 m fill the height. */
  override render(surface: Surface): void {
    const scale = surface.height / 4.4;
    const goal = surface.height / 2 - LENGTH * scale;
    const link = { left: 0, right: LENGTH * scale, bottom: -0.1 * scale, top: 0.1 * scale };
    surface.clear("#ffffff");
    surface.line(0, goal, surface.width, goal, "#000000", 1);
    let x = surface.width / 2;
    let y = surface.height / 2;
    for (const angle of [this.state[0]!, this.state[0]! + this.state[1]!]) {
      drawRectangle(surface, x, y, angle - Math.PI / 2, link, "#00cccc");
      surface.circle(x, surface.height - y, 0.1 * scale, "#cccc00");
      x += LENGTH * scale * Math.sin(angle);
      y -= LENGTH * scale * Math.cos(angle);
    }
  }
}

/** Time derivative of [theta1, theta2, velocity1, velocity2] under a torque (Nm), written to `out`. */
function slope(state: Float64Array, torque: number, out: Float64Array): void {
  const theta1 = state[0]!;
  const theta2 = state[1]!;
  const velocity1 = state[2]!;
  const velocity2 = state[3]!;
  const cos = Math.cos(theta2);
  const sin = Math.sin(theta2);
  const coupling = MASS * LENGTH * CENTRE;
  const d1 = MASS * CENTRE ** 2 + MASS * (LENGTH ** 2 + CENTRE ** 2 + 2 * LENGTH * CENTRE * cos) + INERTIA + INERTIA;
  const d2 = MASS * (CENTRE ** 2 + LENGTH * CENTRE * cos) + INERTIA;
  const phi2 = MASS * CENTRE * GRAVITY * Math.cos(theta1 + theta2 - Math.PI / 2);
  const phi1 =
    -coupling * velocity2 ** 2 * sin -
    2 * coupling * velocity2 * velocity1 * sin +
    (MASS * CENTRE + MASS * LENGTH) * GRAVITY * Math.cos(theta1 - Math.PI / 2) +
    phi2;
  const acceleration2 =
    (torque + (d2 / d1) * phi1 - coupling * velocity1 ** 2 * sin - phi2) /
    (MASS * CENTRE ** 2 + INERTIA - d2 ** 2 / d1);
  out[0] = velocity1;
  out[1] = velocity2;
  out[2] = -(d2 * acceleration2 + phi1) / d1;
  out[3] = acceleration2;
}
