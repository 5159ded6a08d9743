import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { Socket } from "node:net";
import { setTimeout as wait } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { EnvironmentError, reasonOf, UsageError } from "../errors.ts";
import {
  ANSWER_BYTES,
  errorOfRefusal,
  FOLLOWED,
  parseRefusal,
  REFUSED,
  type Refusal,
  WHEREABOUTS_BYTES,
  type Whereabouts,
  whereaboutsOf,
} from "./gymnasium-protocol.ts";
import { SharedMemory } from "./shared-memory.ts";

/** Limit of answers whose length is not known before: descriptions and refusals. */
const MAX_TEXT_BYTES = 2 ** 28;
/** Milliseconds that a process has to end by itself: a second more than it gives its environments to close. */
const GRACE = 6_000;
/** Milliseconds that the pipes of a process may take to close that has ended: another one may have them. */
const PATIENCE = 1_000;

/** Parts into which the time to an answer is cut. */
const TICKS = 10;

/** Characters that are shown of what another program than Python prints. */
const MAX_PRINTED = 80;

/** Some 50 microseconds: what a lock-step of cheap environments leaves between two requests. */
const LOOKS_FOR_REQUESTS = 100;
/** Turns of the event loop, some 400 microseconds: what a lock-step of cheap environments takes. */
const LOOKS_FOR_ANSWERS = 1_000;

const SCRIPT = fileURLToPath(new URL("./gymnasium-bridge.py", import.meta.url));

/** The Python that environments run in. */
function interpreter(): string {
  const named = process.env["POPS_PYTHON"];
  return named === undefined || named === "" ? "python3" : named;
}

/** A request that was refused; who sent it knows what it was about. */
class RefusedError extends Error {
  readonly refusal: Refusal;
  constructor(refusal: Refusal) {
    super(refusal.message);
    this.refusal = refusal;
  }
}

/** A process that ended under its environment. */
class EndedError extends Error {
  readonly at: Whereabouts | undefined;
  constructor(message: string, at: Whereabouts | undefined) {
    super(message);
    this.at = at;
  }
}

export interface Answer {
  readonly bytes: Uint8Array;
  /** Comes later, without another request. */
  readonly more: Promise<Answer> | undefined;
}

interface Waiting {
  /** Where the answer goes; without it, room is made for it. */
  readonly into: Uint8Array | undefined;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
}

/**
 * A Python process with the bridge's program. Requests are answered in their order, one after the other; they may be sent
 * ahead. The two pipes are Node's own streams: reading their descriptors at once would take a third longer (a read that finds
 * nothing throws), and would let nothing else happen meanwhile. An idle process keeps this one not alive, and ends with it.
 */
export class PythonProcess {
  /** Descriptor 5 of the process, if the system has such. Where the process is comes first in it. */
  readonly memory = SharedMemory.create();
  readonly #whereabouts = this.memory?.reserve(WHEREABOUTS_BYTES);
  readonly #environment: string;
  readonly #seconds: number;
  /** Whether this side has a core of its own beside the other. */
  alert: boolean;
  readonly #child: ChildProcess;
  readonly #requests: Socket;
  readonly #answers: Socket;
  readonly #waiting: Waiting[] = [];
  readonly #head = new Uint8Array(ANSWER_BYTES);
  /** Of the answer that is being read: its head, then what follows. */
  #target: Uint8Array = this.#head;
  #filled = 0;
  #kind = 0;
  #timer: NodeJS.Timeout | undefined;
  /** Parts of the time that have gone by. */
  #ticks = 0;
  #answered = false;
  /** Turns of the event loop until it may sleep. */
  #looks = 0;
  #ended: Error | undefined;
  readonly #exited: Promise<void>;

  /**
   * @param seconds limit of the time to an answer
   * @param alert whether both sides have a core of their own: then each looks awhile for what the other sends before it
   * sleeps, since waking takes longer than a cheap environment's step
   */
  constructor(environment: string, seconds: number, alert: boolean) {
    this.#environment = environment;
    this.#seconds = seconds;
    this.alert = alert;
    const python = interpreter();
    // What an environment prints is news for people: the bridge begins by making its output our standard error. Before that it
    // is what some other program makes of the bridge's text. The file descriptors 3 and 4 are the bridge's.
    this.#child = spawn(python, ["-u", SCRIPT, String(alert ? LOOKS_FOR_REQUESTS : 0)], {
      stdio: ["ignore", "pipe", 2, "pipe", "pipe", ...(this.memory ? [this.memory.descriptor] : [])],
      // Processes side by side, each with threads for all cores, would be in each other's way.
      env: { OMP_NUM_THREADS: "1", OPENCV_FOR_THREADS_NUM: "1", ...process.env },
      windowsHide: true,
      // A group of its own: what it started ends with it when it has to be ended.
      detached: process.platform !== "win32",
    });
    this.#requests = this.#child.stdio[3] as Socket;
    this.#answers = this.#child.stdio[4] as Socket;
    const output = this.#child.stdout as Socket;
    // That the process is gone is known from its exit.
    for (const pipe of [this.#requests, this.#answers, output]) pipe.on("error", () => undefined).unref();
    this.#answers.on("data", (chunk: Uint8Array) => {
      this.#read(chunk);
    });
    let printed = "";
    output.setEncoding("utf8").on("data", (text: string) => {
      if (printed.length < MAX_PRINTED) printed = (printed + text).trimStart();
    });
    const closed = Promise.allSettled([this.#answers, output].map((pipe) => once(pipe, "close")));
    this.#exited = new Promise((resolve) => {
      this.#child.once("error", (error) => {
        const advice =
          "install Python 3.9 or later with gymnasium, or name its interpreter by the variable POPS_PYTHON";
        this.#end(new UsageError("POPS_PYTHON", `${python} cannot be started (${reasonOf(error)}): ${advice}`));
        resolve();
      });
      this.#child.once("exit", (code, signal) => {
        const what = signal === null ? `ended with exit code ${code ?? 0}` : `was killed by ${signal}`;
        // What it started and left is not to stay.
        this.#kill();
        // What it said may still be on its way.
        const patience = new AbortController();
        const late = wait(PATIENCE, undefined, { signal: patience.signal }).catch(() => undefined);
        void Promise.race([closed, late]).then(() => {
          patience.abort();
          output.destroy();
          this.#end(this.#endOf(what, printed.split("\n", 1)[0]!.slice(0, MAX_PRINTED)));
          resolve();
        });
      });
    });
    this.#hold(false);
  }

  /**
   * Sends a request; the answer arrives in `into`, or in a new array without it. The request must not change before.
   * @throws RefusedError, EndedError when the process ends, hangs or answers nonsense: `errorOf` says what users see
   */
  ask(request: Uint8Array, into?: Uint8Array): Promise<Answer> {
    if (this.#ended) return Promise.reject(this.#ended);
    return new Promise((resolve, reject) => {
      if (this.#waiting.length === 0) {
        this.#hold(true);
        this.#watch();
      }
      this.#waiting.push({ into, resolve, reject });
      this.#requests.write(request);
      if (this.alert) this.#look();
    });
  }

  /** Lets the environments close, and the process end. */
  async close(): Promise<void> {
    this.#requests.end();
    this.#child.ref();
    const late = setTimeout(() => {
      this.#kill();
    }, GRACE);
    await this.#exited;
    clearTimeout(late);
    this.memory?.close();
  }

  #read(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length && !this.#ended; ) {
      const count = Math.min(chunk.length - at, this.#target.length - this.#filled);
      this.#target.set(chunk.subarray(at, at + count), this.#filled);
      at += count;
      this.#filled += count;
      if (this.#filled === this.#target.length) this.#complete();
    }
  }

  #complete(): void {
    this.#filled = 0;
    if (this.#target === this.#head) {
      this.#begin();
      if (this.#target.length > 0) return;
    }
    this.#finish();
  }

  #begin(): void {
    const head = new DataView(this.#head.buffer);
    const length = head.getUint32(0, true);
    this.#kind = head.getUint32(4, true);
    const refused = this.#kind === REFUSED;
    const waiting = this.#waiting[0];
    const { into } = waiting ?? {};
    if (waiting === undefined || (!refused && into && into.length !== length) || length > MAX_TEXT_BYTES) {
      this.#giveUp(`sent ${length} bytes that nobody asked for`);
    } else {
      this.#target = refused || into === undefined ? new Uint8Array(length) : into;
    }
  }

  #finish(): void {
    const bytes = this.#target;
    this.#target = this.#head;
    this.#answered = true;
    const waiting = this.#waiting.shift();
    const more = this.#kind === FOLLOWED ? this.#expect() : undefined;
    if (this.#waiting.length === 0) this.#hold(false);
    else this.#watch();
    if (this.#kind !== REFUSED) {
      waiting?.resolve({ bytes, more });
      return;
    }
    try {
      waiting?.reject(new RefusedError(parseRefusal(this.#environment, bytes)));
    } catch (error) {
      waiting?.reject(error as Error);
    }
  }

  /** An answer that comes next, whatever was asked for meanwhile. */
  #expect(): Promise<Answer> {
    const more = new Promise<Answer>((resolve, reject) => {
      this.#waiting.unshift({ into: undefined, resolve, reject });
    });
    // It may be that nobody wants it.
    more.catch(() => undefined);
    return more;
  }

  /** Starts the time to the next answer. It is counted, not measured: while this process is stopped (Ctrl-Z) there is none. */
  #watch(): void {
    this.#ticks = 0;
    this.#timer ??= setInterval(
      () => {
        if (this.#waiting.length === 0 || ++this.#ticks <= TICKS) return;
        // An answer may have come that is not read yet.
        setImmediate(() => {
          if (this.#waiting.length === 0 || this.#ticks <= TICKS) return;
          this.#giveUp(`gave no answer for ${this.#seconds} s: if it needs more, give it more with --env-timeout`);
        });
      },
      (1000 * this.#seconds) / TICKS,
    ).unref();
  }

  /** Keeps the event loop turning, which would sleep until the answer comes. */
  #look(): void {
    if (this.#looks === 0) setImmediate(this.#lookOn);
    this.#looks = LOOKS_FOR_ANSWERS;
  }

  readonly #lookOn = (): void => {
    this.#looks = this.#waiting.length === 0 ? 0 : this.#looks - 1;
    if (this.#looks > 0) setImmediate(this.#lookOn);
  };

  /** This process lives on while an answer is due, or the news that there will be none. */
  #hold(due: boolean): void {
    if (due) this.#child.ref();
    else this.#child.unref();
  }

  /** @param printed a line of what came before the bridge began, if anything did */
  #endOf(what: string, printed: string): Error {
    if (this.#answered) return this.#endedError(what);
    const python = interpreter();
    const found =
      printed === ""
        ? `${python} ${what} before it answered`
        : `${python} is no Python: it printed ${JSON.stringify(printed)} and ${what}`;
    return new UsageError("POPS_PYTHON", `${found}; expected a Python from 3.9 with gymnasium`);
  }

  #endedError(what: string): EndedError {
    let at: Whereabouts | undefined;
    if (this.memory && this.#whereabouts !== undefined) {
      const bytes = new Uint8Array(WHEREABOUTS_BYTES);
      this.memory.read(this.#whereabouts, bytes);
      at = whereaboutsOf(bytes);
    }
    return new EndedError(`its Python process ${what}`, at);
  }

  #giveUp(what: string): void {
    this.#end(this.#endedError(what));
    this.#kill();
  }

  /** Ends the process and what it started. */
  #kill(): void {
    const { pid } = this.#child;
    if (pid === undefined || process.platform === "win32") {
      this.#child.kill("SIGKILL");
      return;
    }
    try {
      process.kill(-pid, "SIGKILL");
    } catch {
      // Gone already.
    }
  }

  #end(error: Error): void {
    this.#ended ??= error;
    clearInterval(this.#timer);
    for (const { reject } of this.#waiting.splice(0)) reject(this.#ended);
    this.#hold(false);
  }
}

/**
 * A refusal, or the end of a process, as the error that users see; other errors as they are.
 * @param where in words
 */
export function errorOf(environment: string, error: unknown, where?: (at: Whereabouts) => string): unknown {
  if (error instanceof RefusedError) {
    const { refusal } = error;
    return errorOfRefusal(environment, refusal, where?.(refusal.at));
  }
  if (!(error instanceof EndedError)) return error;
  const place = error.at && where ? where(error.at) : "";
  return new EnvironmentError(environment, place + error.message);
}
