import { readFileSync } from "node:fs";
import { inflateSync } from "node:zlib";

/** One game after another of scripted play in ALE, a frame at a time. */
interface Trace {
  readonly actions: string;
  /** [frames, 6] ball x and y, enemy y, player y, enemy's score, player's score, as in the console's memory. */
  readonly memory: string;
  readonly rewards: string;
  /** Checksums of the gray pictures of frames 0, `every`, 2 `every`, ... */
  readonly every: number;
  readonly pictures: string;
}

/** What test/fixtures/record-ale.py recorded. */
interface Recording {
  readonly traces: readonly Trace[];
  /** Actions of the preprocessed episodes, whose n-th (from 0) began after n + 1 frames without action. */
  readonly choices: readonly number[];
  readonly episodes: readonly { readonly checksum: number; readonly rewards: readonly number[] }[];
  /** OpenCV's small pictures of noise. */
  readonly areas: readonly { readonly height: number; readonly picture: string }[];
}

const file = new URL("../../fixtures/ale-pong.json", import.meta.url);
export const recording = JSON.parse(readFileSync(file, "utf8")) as Recording;

/** The bytes of a recorded array. */
export function unpack(packed: string): Uint8Array {
  return new Uint8Array(inflateSync(Buffer.from(packed, "base64")));
}
