import type { Actions } from "./gymnasium-episode.ts";
import { creationRequest, REQUEST_BYTES, request, STEP } from "./gymnasium-protocol.ts";
import type { Task } from "./gymnasium-task.ts";
import type { PythonProcess } from "./python-process.ts";
import { sizeOf } from "./spaces.ts";

/** Observations of a lock-step that are so large travel by shared memory, if there is any. */
const LARGE_BYTES = 16_384;

/** Lanes `from` to `to` - 1 of a vector, in a process; its buffers are what is sent and what arrives at a step. */
export interface Share {
  readonly process: PythonProcess;
  readonly from: number;
  readonly to: number;
  readonly request: Uint8Array;
  readonly actions: Actions;
  readonly seeds: Uint32Array;
  readonly wanted: Uint8Array;
  readonly answer: Uint8Array;
  readonly rewards: Float64Array;
  readonly observations: Float32Array | Uint8Array;
  readonly flags: Uint8Array;
  /** Makes the lanes in the process. */
  readonly creation: Uint8Array;
  /** Brings the observations of an answer that has arrived. */
  fetch(): void;
  /** Gives back what it shares with the process, which needs it no more. */
  release(): void;
}

export function shareOf(
  { spec, bytes, width }: Task,
  process: PythonProcess,
  vector: number,
  from: number,
  to: number,
): Share {
  const lanes = to - from;
  const count = lanes * sizeOf(spec.actionSpace);
  const frame = request(STEP, vector, new Uint8Array(4 * count + 5 * lanes));
  const { buffer } = frame;
  const seen = lanes * width;
  const seenBytes = (bytes ? 1 : 4) * seen;
  const { memory } = process;
  const place = seenBytes < LARGE_BYTES ? undefined : memory?.reserve(seenBytes);
  const flags = 8 * lanes + (place === undefined ? seenBytes : 0);
  const answer = new Uint8Array(flags + lanes);
  const view = place === undefined ? answer.subarray(8 * lanes, flags) : new Uint8Array(seenBytes);
  return {
    process,
    from,
    to,
    request: frame,
    actions:
      spec.actionSpace.kind === "discrete"
        ? new Int32Array(buffer, REQUEST_BYTES, count)
        : new Float32Array(buffer, REQUEST_BYTES, count),
    seeds: new Uint32Array(buffer, REQUEST_BYTES + 4 * count, lanes),
    wanted: frame.subarray(REQUEST_BYTES + 4 * (count + lanes)),
    answer,
    rewards: new Float64Array(answer.buffer, 0, lanes),
    observations: bytes ? view : new Float32Array(view.buffer, view.byteOffset, seen),
    flags: answer.subarray(flags),
    creation: creationRequest(vector, lanes, place),
    fetch: () => {
      if (place !== undefined) memory?.read(place, view);
    },
    release: () => {
      if (place !== undefined) memory?.release(place, seenBytes);
    },
  };
}
