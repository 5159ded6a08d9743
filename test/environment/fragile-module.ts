import { isMainThread } from "node:worker_threads";
import type { Action, EnvironmentSpec, Step } from "../../src/environment/environment.ts";
import { register } from "../../src/environment/registry.ts";
import { discrete } from "../../src/environment/spaces.ts";
import { EnvironmentError } from "../../src/errors.ts";
import { Countdown } from "./countdown.ts";

/** Actions of a `Fragile` besides 0 and 1, which are its rewards. */
export const BREAK = 2;
export const THROW = 3;
export const EXIT = 4;

/** A countdown that is slow, or so it says, and whose other actions go wrong. */
class Fragile extends Countdown {
  override readonly spec: EnvironmentSpec = { ...new Countdown(9, 5).spec, id: "Fragile-v0", actionSpace: discrete(5) };

  constructor() {
    super(9);
  }

  override step(action: Action): Step {
    if (action === BREAK) throw new EnvironmentError("Fragile-v0", `broke with ${this.left} steps left`);
    if (action === THROW) throw new TypeError("a bug of the user's");
    // Ends a thread as running out of memory does: nothing in it gets to say so.
    if (action === EXIT && !isMainThread) process.exit(9);
    return super.step(action);
  }
}

/** What a user's own module does. */
const create = (): Fragile => new Fragile();
register({ spec: create().spec, create, slow: true });
