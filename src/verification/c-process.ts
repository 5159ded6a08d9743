import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { NumericError } from "../errors.ts";

/** A program made of exported C and its driver, that decides. */
export class CProcess {
  readonly #child: ChildProcess;
  readonly #name: string;
  readonly #width: number;
  #answers: Buffer[] = [];
  #arrived = 0;
  #wake: (() => void) | undefined;
  #ended = false;

  /** @param width float32 numbers of an answer */
  constructor(program: string, name: string, width: number) {
    this.#child = spawn(program, [], { stdio: ["pipe", "pipe", "inherit"] });
    this.#name = name;
    this.#width = width;
    this.#child.stdout?.on("data", (chunk: Buffer) => {
      this.#answers.push(chunk);
      this.#arrived += chunk.length;
      this.#wake?.();
    });
    this.#child.on("close", () => {
      this.#ended = true;
      this.#wake?.();
    });
    // A program that died says so when it is waited for.
    this.#child.on("error", () => undefined);
    this.#child.stdin?.on("error", () => undefined);
  }

  /**
   * Answers to so many observations, [count, width].
   * @throws NumericError when the program ended
   */
  async answer(observations: Float32Array | Uint8Array, count: number): Promise<Float32Array> {
    const { stdin } = this.#child;
    stdin?.write(new Uint8Array(Uint32Array.of(count).buffer));
    stdin?.write(new Uint8Array(observations.buffer, observations.byteOffset, observations.byteLength).slice());
    const wanted = 4 * count * this.#width;
    while (this.#arrived < wanted) {
      if (this.#ended) throw new NumericError(`the program of ${this.#name} ended before it had answered`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const bytes = Uint8Array.from(Buffer.concat(this.#answers));
    this.#answers = [];
    this.#arrived = 0;
    return new Float32Array(bytes.buffer);
  }

  async close(): Promise<void> {
    if (this.#ended) return;
    const closed = once(this.#child, "close");
    this.#child.stdin?.end();
    await closed;
  }
}

/** Nanoseconds that such a program takes for a decision about an observation, some rounds of it. */
export function timesOf(program: string, observation: Float32Array | Uint8Array): number[] {
  const count = new Uint8Array(Uint32Array.of(1).buffer);
  const bytes = new Uint8Array(observation.buffer, observation.byteOffset, observation.byteLength);
  const { stdout } = spawnSync(program, ["time"], { input: Buffer.concat([count, bytes]), encoding: "utf8" });
  return stdout.trim().split("\n").map(Number);
}
