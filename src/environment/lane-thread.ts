/** The program of a thread that steps a share of the lanes of vectors. */
import { setImmediate } from "node:timers/promises";
import { parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import type { Plain } from "../plain.ts";
import { printOnStderr } from "../thread.ts";
import {
  ANSWERS,
  CALL,
  type Call,
  changes,
  count,
  ENDED,
  failureOf,
  type LaneThreadData,
  NOTHING,
  REQUESTS,
  RESULT,
  RESULTS,
  type Result,
  VECTOR,
} from "./lane-call.ts";
import { importModules } from "./module.ts";
import { registrationOf } from "./registry.ts";
import { LaneVector, strayReasonOf } from "./vector.ts";

/** Milliseconds without a request after which the event loop gets a turn: what an environment prints comes out there. */
const IDLE = 100;

printOnStderr();
const { environment, modules, port, signal } = workerData as LaneThreadData;

// The other side may wait for an answer without a turn of its event loop, and would not hear of this thread's end.
let thrown: unknown;
process.on("uncaughtException", (error) => {
  thrown = error;
  process.exit(1);
});
process.on("exit", (code) => {
  const reason = thrown === undefined ? `exit code ${code}` : strayReasonOf(thrown);
  port.postMessage({ environment, reason, stack: undefined } satisfies Result);
  Atomics.store(signal, RESULTS, ENDED);
  count(signal, ANSWERS);
});

await importModules(modules);
const { spec, create } = registrationOf(environment);

/** A vector's lanes in this thread, and their part of its actions. */
interface Share {
  readonly lanes: LaneVector;
  readonly actions: Int32Array | Float32Array;
}

const shares = new Map<number, Share>();

function shareOf(vector: number): Share {
  const share = shares.get(vector);
  if (share === undefined) throw new Error(`there is no vector ${vector}, or no longer`);
  return share;
}

function answer(call: Call): Plain | undefined {
  const { vector } = call;
  switch (call.method) {
    case "create": {
      const { buffers, actions } = call;
      shares.set(vector, { lanes: new LaneVector(spec, create, buffers.rewards.length, buffers), actions });
      return;
    }
    case "reset":
      shareOf(vector).lanes.reset(call.lane, call.seed);
      return;
    case "getState":
      return shareOf(vector).lanes.getState();
    case "setState":
      shareOf(vector).lanes.setState(call.state);
      return;
    case "close":
      shares.delete(vector);
      return;
  }
}

function run(vector: number): Plain | undefined {
  if (vector === CALL) {
    const call = receiveMessageOnPort(port) as { readonly message: Call };
    return answer(call.message);
  }
  const { lanes, actions } = shareOf(vector);
  lanes.step(actions);
  return undefined;
}

/** Does what is asked for, and says whether a result is on the port. */
function serve(vector: number): boolean {
  try {
    const value = run(vector);
    if (value === undefined) return false;
    port.postMessage({ value } satisfies Result);
  } catch (error) {
    port.postMessage(failureOf(environment, error) satisfies Result);
  }
  return true;
}

parentPort?.postMessage("ready");
for (let served = 0; ; served = (served + 1) | 0) {
  while (!changes(signal, REQUESTS, served, IDLE)) await setImmediate();
  const vector = Atomics.load(signal, VECTOR);
  Atomics.store(signal, RESULTS, serve(vector) ? RESULT : NOTHING);
  count(signal, ANSWERS);
  if (vector === CALL) await setImmediate();
}
