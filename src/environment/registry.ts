import { UsageError } from "../errors.ts";
import { Acrobot, acrobotV1 } from "./acrobot.ts";
import { makePacMan, pacManV0 } from "./atari/pacman.ts";
import { makePong, pongFireV0, pongV0 } from "./atari/pong.ts";
import { CartPole, cartPoleV0, cartPoleV1 } from "./cartpole.ts";
import type { Environment, EnvironmentSpec } from "./environment.ts";
import { LunarLander, lunarLanderContinuousV3, lunarLanderV2, lunarLanderV3 } from "./lunar-lander.ts";
import { MiniBreakout, miniBreakoutV0 } from "./mini/breakout.ts";
import { MiniSpaceInvaders, miniSpaceInvadersV0 } from "./mini/space-invaders.ts";
import { MountainCar, mountainCarV0 } from "./mountain-car.ts";
import { MountainCarContinuous, mountainCarContinuousV0 } from "./mountain-car-continuous.ts";
import { nearest } from "./nearest.ts";
import { Pendulum, pendulumV1 } from "./pendulum.ts";
import { TimeLimit } from "./time-limit.ts";

/** How to make an environment. `create` makes it without its time limit, which `makeEnvironment` adds. */
export interface Registration {
  readonly spec: EnvironmentSpec;
  readonly create: () => Environment;
  /** A step costs more than handing it to another thread, some 10 microseconds: its lanes are shared out among threads. */
  readonly slow?: boolean;
}

const registrations = new Map<string, Registration>();

/**
 * Makes an environment known by its id.
 * @throws UsageError when the id is taken.
 */
export function register(registration: Registration): void {
  const { id } = registration.spec;
  if (registrations.has(id)) throw new UsageError("environment", `"${id}" is registered already, choose another id`);
  registrations.set(id, registration);
}

register({ spec: cartPoleV0, create: () => new CartPole(cartPoleV0) });
register({ spec: cartPoleV1, create: () => new CartPole(cartPoleV1) });
register({ spec: acrobotV1, create: () => new Acrobot() });
register({ spec: mountainCarV0, create: () => new MountainCar() });
register({ spec: mountainCarContinuousV0, create: () => new MountainCarContinuous() });
register({ spec: pendulumV1, create: () => new Pendulum() });
for (const spec of [lunarLanderV2, lunarLanderV3, lunarLanderContinuousV3]) {
  register({ spec, create: () => new LunarLander(spec), slow: true });
}
for (const spec of [pongV0, pongFireV0]) register({ spec, create: () => makePong(spec), slow: true });
register({ spec: pacManV0, create: makePacMan, slow: true });
register({ spec: miniBreakoutV0, create: () => new MiniBreakout() });
register({ spec: miniSpaceInvadersV0, create: () => new MiniSpaceInvaders() });

/** Ids of those that come with the package. */
export const builtInIds: readonly string[] = environmentIds();

/** Ids of all registered environments, in order of registration. */
export function environmentIds(): string[] {
  return [...registrations.keys()];
}

/** @throws UsageError when the id is unknown; names the nearest one. */
export function registrationOf(id: string): Registration {
  const found = registrations.get(id);
  if (found !== undefined) return found;
  const meant = nearest(id, environmentIds());
  const hint = meant === undefined ? `known are ${environmentIds().join(", ")}` : `did you mean "${meant}"?`;
  throw new UsageError("environment", `there is no environment "${id}"; ${hint}`);
}

/**
 * What is known of the environment of a registered id.
 * @throws UsageError when the id is unknown; names the nearest one.
 */
export function specOf(id: string): EnvironmentSpec {
  return registrationOf(id).spec;
}

/** `environment` with its time limit, if it has one. */
export function withTimeLimit(environment: Environment): Environment {
  const limit = environment.spec.maxEpisodeSteps;
  return limit === undefined ? environment : new TimeLimit(environment, limit);
}

/**
 * A single environment with its time limit.
 * @throws UsageError when the id is unknown; names the nearest one.
 */
export function makeEnvironment(id: string): Environment {
  return withTimeLimit(registrationOf(id).create());
}
