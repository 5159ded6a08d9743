import { EnvironmentError } from "../errors.ts";
import type { EnvironmentSpec } from "./environment.ts";
import { isBytes, type Opened, specOfOpened } from "./gymnasium-protocol.ts";
import { sizeOf } from "./spaces.ts";
import { copyFinite, type LaneBuffers } from "./vector.ts";

/** Takes what arrives from the Python process, at `offset` of `arrived`, for an observation of a lane. */
export interface View {
  /** The first one of an episode. */
  begin(lane: number, arrived: Float32Array | Uint8Array, offset: number, where: () => string): void;
  /** One after a step. */
  go(lane: number, arrived: Float32Array | Uint8Array, offset: number, where: () => string): void;
}

/** What the lanes of a vector have to know of an environment in Python. */
export interface Task {
  readonly spec: EnvironmentSpec;
  /** Whether observations travel as bytes, or else as float32 numbers. */
  readonly bytes: boolean;
  /** Numbers that travel of an observation. */
  readonly width: number;
  /** Whether an episode may begin while this side still looks at the last: by its seed alone. */
  readonly playsOn: boolean;
  /** What the process is told of the beginning of an episode. */
  beginning(seed: number): { readonly seed: number; readonly noOps: number };
  /** Writes into these buffers. */
  view(into: LaneBuffers): View;
}

/** An environment of Gymnasium's, whose observations are taken as they are. */
export function gymnasiumTask(environment: string, opened: Opened): Task {
  const spec = specOfOpened(environment, opened);
  const width = sizeOf(spec.observationSpace);
  return {
    spec,
    bytes: isBytes(opened.observation),
    width,
    playsOn: true,
    beginning: (seed) => ({ seed, noOps: 0 }),
    view: (into) => new PlainView(spec.id, width, into),
  };
}

class PlainView implements View {
  readonly #id: string;
  readonly #width: number;
  readonly #into: LaneBuffers;

  constructor(id: string, width: number, into: LaneBuffers) {
    this.#id = id;
    this.#width = width;
    this.#into = into;
  }

  begin(lane: number, arrived: Float32Array | Uint8Array, offset: number, where: () => string): void {
    this.go(lane, arrived, offset, where);
  }

  go(lane: number, arrived: Float32Array | Uint8Array, offset: number, where: () => string): void {
    const width = this.#width;
    const first = lane * width;
    const { observations } = this.#into;
    if (arrived instanceof Uint8Array) {
      observations.set(arrived.subarray(offset, offset + width), first);
      return;
    }
    const at = copyFinite(arrived, offset, observations, first, width);
    if (at < 0) return;
    const problem = `observation[${at}] is ${observations[first + at]}, expected a finite number`;
    throw new EnvironmentError(this.#id, where() + problem);
  }
}
