import type { Pcg64 } from "../random/pcg64.ts";
import { ClassicControl } from "./classic-control.ts";
import { drawRectangle } from "./drawing.ts";
import { box } from "./spaces.ts";
import type { Surface } from "./surface.ts";

const MAX_SPEED = 8;
const MAX_TORQUE = 2;
/** Seconds a step. */
const DT = 0.05;
/** 3 g / 2 l and 3 / m l2 of a rod of 1 m and 1 kg under 10 m/s2. */
const PULL = 15;
const TORQUE_FACTOR = 3;

export const pendulumV1 = {
  id: "Pendulum-v1",
  observationSpace: box([-1, -1, -MAX_SPEED], [1, 1, MAX_SPEED]),
  actionSpace: box([-MAX_TORQUE], [MAX_TORQUE]),
  maxEpisodeSteps: 200,
  rewardThreshold: undefined,
  picture: { width: 500, height: 500, stepsPerSecond: 30 },
};

/** `angle` less full turns, in [-pi, pi). */
function normalize(angle: number): number {
  const turn = 2 * Math.PI;
  const rest = (angle + Math.PI) % turn;
  return (rest < 0 ? rest + turn : rest) - Math.PI;
}

/**
 * Swing a rod up and hold it there. Observation: cosine and sine of its angle (0 is upright), angular velocity (rad/s).
 * Action: torque in [-2, 2] Nm. Reward: minus the sum of angle squared, 0.1 velocity squared and 0.001 torque squared,
 * all before the step. Never ends by itself. Starts with the angle uniform in [-pi, pi), the velocity in [-1, 1).
 * Source: numbers and order of operations as in Gymnasium 1.3, its single-precision arithmetic on torques included.
 */
export class Pendulum extends ClassicControl {
  #cost = 0;

  constructor() {
    super(pendulumV1, 2);
  }

  protected override begin(random: Pcg64): void {
    this.state[0] = random.uniform(-Math.PI, Math.PI);
    this.state[1] = random.uniform(-1, 1);
  }

  protected override advance(torque: number): boolean {
    const angle = this.state[0]!;
    const velocity = this.state[1]!;
    const effort = Math.fround(Math.fround(0.001) * Math.fround(torque * torque));
    this.#cost = normalize(angle) ** 2 + 0.1 * velocity ** 2 + effort;
    const faster = velocity + (PULL * Math.sin(angle) + Math.fround(TORQUE_FACTOR * torque)) * DT;
    const next = Math.min(Math.max(faster, -MAX_SPEED), MAX_SPEED);
    this.state[0] = angle + next * DT;
    this.state[1] = next;
    return false;
  }

  protected override reward(): number {
    return -this.#cost;
  }

  protected override observe(): void {
    const angle = this.state[0]!;
    this.observation[0] = Math.cos(angle);
    this.observation[1] = Math.sin(angle);
    this.observation[2] = this.state[1]!;
  }

  /** Pivot in the middle, 4.4 m fill the height; positive angles lean left. */
  override render(surface: Surface): void {
    const scale = surface.height / 4.4;
    const x = surface.width / 2;
    const y = surface.height / 2;
    const rod = { left: 0, right: scale, bottom: -0.1 * scale, top: 0.1 * scale };
    const angle = this.state[0]! + Math.PI / 2;
    surface.clear("#ffffff");
    drawRectangle(surface, x, y, angle, rod, "#cc4d4d");
    surface.circle(x, y, 0.1 * scale, "#cc4d4d");
    surface.circle(x + scale * Math.cos(angle), y - scale * Math.sin(angle), 0.1 * scale, "#cc4d4d");
    surface.circle(x, y, 0.05 * scale, "#000000");
  }
}
