import type { Pcg64 } from "../../random/pcg64.ts";
import { Craft, HEIGHT, LEG_DOWN, PAD_HEIGHT, SCALE, TERRAIN_DRAWS, WIDTH } from "./craft.ts";

const FPS = 50;
const MAIN_POWER = 13;
const SIDE_POWER = 0.6;
/** Largest component of the first push (N). */
const FIRST_PUSH = 1000;
const MAIN_Y = 4 / SCALE;
const SIDE_AWAY = 12 / SCALE;
const SIDE_HEIGHT = 14 / SCALE;
/** Gymnasium moves the point of the side engines' impulse by 17 along one axis and 14 along the other; the task is so. */
const SIDE_SHIFT = 17 / SCALE;

/** What a flight draws from: `Pcg64`, or another source of the same numbers. */
export type FlightRandom = Pick<Pcg64, "uniform" | "integer" | "getState" | "setState">;

/** What Gymnasium's `make` takes. */
export interface LunarLanderOptions {
  /** m/s2, above -12 and below 0; default -10. */
  readonly gravity?: number;
  /** Default false. The pattern's phase is drawn at every reset. */
  readonly enableWind?: boolean;
  /** Largest force of the wind (N), default 15; Gymnasium recommends 0 to 20. */
  readonly windPower?: number;
  /** Largest torque of the wind (Nm), default 1.5; Gymnasium recommends 0 to 2. */
  readonly turbulencePower?: number;
}

/** What the engines do in a step. */
export interface Thrust {
  /** Power of the main engine: 0, or 0.5 to 1. */
  readonly main: number;
  /** Power of the side engines: 0, or 0.5 to 1, negative for the left one. */
  readonly side: number;
}

const OFF: Thrust = { main: 0, side: 0 };

/** Course of the wind over the steps, -1 to 1. */
function gust(phase: number): number {
  return Math.tanh(Math.sin(0.02 * phase) + Math.sin(Math.PI * 0.01 * phase));
}

/**
 * One episode from its start to its end. The draws are Gymnasium's, in its order: 12 heights, the first push (x, y),
 * with wind the two phases, then two dispersions a step, whether an engine fires or not.
 */
export class Flight {
  readonly craft: Craft;
  readonly observation = new Float32Array(8);
  /** What the engines did last. */
  thrust: Thrust = OFF;
  readonly #random: FlightRandom;
  readonly #wind: { force: number; torque: number; forcePhase: number; torquePhase: number } | undefined;
  #shaping: number | undefined;

  constructor(random: FlightRandom, options: Required<LunarLanderOptions>) {
    this.#random = random;
    const heights = Array.from({ length: TERRAIN_DRAWS }, () => random.uniform(0, HEIGHT / 2));
    const x = random.uniform(-FIRST_PUSH, FIRST_PUSH);
    const y = random.uniform(-FIRST_PUSH, FIRST_PUSH);
    this.craft = new Craft(options.gravity, heights, [x, y]);
    if (options.enableWind) {
      const forcePhase = random.integer(19_998) - 9999;
      const torquePhase = random.integer(19_998) - 9999;
      this.#wind = { force: options.windPower, torque: options.turbulencePower, forcePhase, torquePhase };
    }
    // The first observation is the one after a step without engines.
    this.advance(OFF);
  }

  /** One step of 1/50 s. The observation is written to `observation`. */
  advance(thrust: Thrust): { readonly reward: number; readonly terminated: boolean } {
    this.thrust = thrust;
    this.#blow();
    this.#fire(thrust);
    this.craft.advance();
    const { lander, grounded, touched } = this.craft;
    const position = lander.getPosition();
    const velocity = lander.getLinearVelocity();
    const x = (position.x - WIDTH / 2) / (WIDTH / 2);
    const y = (position.y - (PAD_HEIGHT + LEG_DOWN)) / (HEIGHT / 2);
    const velocityX = (velocity.x * (WIDTH / 2)) / FPS;
    const velocityY = (velocity.y * (HEIGHT / 2)) / FPS;
    const angle = lander.getAngle();
    const spin = (20 * lander.getAngularVelocity()) / FPS;
    const legs = grounded.map(Number);
    this.observation.set([x, y, velocityX, velocityY, angle, spin, ...legs]);

    const shaping =
      -100 * Math.sqrt(x * x + y * y) -
      100 * Math.sqrt(velocityX * velocityX + velocityY * velocityY) -
      100 * Math.abs(angle) +
      10 * legs[0]! +
      10 * legs[1]!;
    const fuel = 0.3 * thrust.main + 0.03 * Math.abs(thrust.side);
    const reward = shaping - (this.#shaping ?? shaping) - fuel;
    this.#shaping = shaping;
    // At rest counts before a crash.
    if (!lander.isAwake()) return { reward: 100, terminated: true };
    if (touched || Math.abs(x) >= 1) return { reward: -100, terminated: true };
    return { reward, terminated: false };
  }

  /** The wind holds its breath, and its phases, while a leg is on the ground. */
  #blow(): void {
    const wind = this.#wind;
    const { lander, grounded } = this.craft;
    if (wind === undefined || grounded[0] || grounded[1]) return;
    lander.applyForceToCenter({ x: gust(wind.forcePhase++) * wind.force, y: 0 }, true);
    lander.applyTorque(gust(wind.torquePhase++) * wind.torque, true);
  }

  #fire({ main, side }: Thrust): void {
    const { lander } = this.craft;
    const { x, y } = lander.getPosition();
    const sin = Math.sin(lander.getAngle());
    const cos = Math.cos(lander.getAngle());
    const along = this.#random.uniform(-1, 1) / SCALE;
    const across = this.#random.uniform(-1, 1) / SCALE;
    if (main > 0) {
      const offsetX = sin * (MAIN_Y + 2 * along) - cos * across;
      const offsetY = -cos * (MAIN_Y + 2 * along) - sin * across;
      const impulse = { x: -offsetX * MAIN_POWER * main, y: -offsetY * MAIN_POWER * main };
      lander.applyLinearImpulse(impulse, { x: x + offsetX, y: y + offsetY }, true);
    }
    if (side !== 0) {
      const power = SIDE_POWER * Math.abs(side);
      const reach = 3 * across + Math.sign(side) * SIDE_AWAY;
      const offsetX = sin * along - cos * reach;
      const offsetY = -cos * along - sin * reach;
      const point = { x: x + offsetX - sin * SIDE_SHIFT, y: y + offsetY + cos * SIDE_HEIGHT };
      lander.applyLinearImpulse({ x: -offsetX * power, y: -offsetY * power }, point, true);
    }
  }
}
