import type { Plain } from "../../plain.ts";
import type { Color } from "../surface.ts";

/** A game as the Atari 2600 plays it: a picture and one action a frame, 60 frames a second. */
export interface FrameGame {
  /** Pixels a row; a multiple of 4. */
  readonly width: number;
  readonly height: number;
  /** The color of each palette index. */
  readonly palette: readonly Color[];
  /** Whether the game has ended: only `reset` is allowed then. */
  readonly over: boolean;
  /** Lives left; 0 in a game that has none. */
  readonly lives: number;
  /** Starts a game. All that is random in it follows from the seed. */
  reset(seed: number): void;
  /** Plays one frame; 0 is no action, 1 is FIRE. Returns the points won, less those lost. */
  step(action: number): number;
  /** Writes the present picture as palette indices, [height, width] row-major. */
  draw(frame: Uint8Array): void;
  /** Everything that later frames depend on. */
  getState(): Plain;
  setState(state: Plain): void;
}
