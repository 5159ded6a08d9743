import type { Event } from "../events.ts";
import { describe } from "../network/architecture.ts";
import { type Measure, RETURNS } from "../report/measure.ts";
import { type Colours, coloursOf } from "./terminal.ts";

/** Shows a run as it goes: milestones as lines that stay, and on a terminal one live line below them. */
export class Progress {
  readonly #out: NodeJS.WriteStream;
  readonly #live: boolean;
  readonly #colours: Colours;
  readonly #measure: Measure;
  #stage = "";
  #stageStart = performance.now();
  #drawn = false;
  #bestScore = Number.NEGATIVE_INFINITY;

  /** Lines go to `out`; the live line only when that is a terminal. */
  constructor(out: NodeJS.WriteStream, measure = RETURNS) {
    this.#measure = measure;
    this.#out = out;
    this.#live = out.isTTY;
    this.#colours = coloursOf(out);
  }

  readonly show = (event: Event): void => {
    switch (event.type) {
      case "run-started":
        return;
      case "stage-started":
        this.#enter(stageTitle(event, this.#measure));
        return;
      case "observations":
        this.line(
          `  ${event.training.observations} observations to learn from, ${event.selection.observations} to decide by, ` +
            `${event.proof.observations} held out for the proof, in ${event.proof.units} ${event.by}s. No return is measured`,
        );
        return;
      case "train":
        this.#status(
          `${bar(event.progress)} step ${event.environmentSteps}  best ${score(this.#bestScore)}  ${this.#left(event.progress)}`,
        );
        return;
      case "teacher-evaluated":
        this.#bestScore = Math.max(this.#bestScore, event.score.mean);
        if (event.passed)
          this.line(
            `  ${this.#mark(true)} teacher scores ${score(event.score.mean)} over ${event.score.episodes} episodes after ${event.environmentSteps} steps`,
          );
        return;
      case "teacher-trained":
        return;
      case "pruned":
        this.#status(
          `${bar(event.progress)} ${event.nonZero} weights left  ${this.#measure.kind === "return" ? "score " : ""}${this.#scoreOf(event)}${event.paused ? "  recovering" : ""}  ${this.#left(event.progress)}`,
        );
        return;
      case "redundancy":
        this.line(
          `  ${this.#mark(true)} pruned ${describe(event.architecture)}: ${percent(event.sparsity)} of the weights are redundant`,
        );
        return;
      case "resized":
        this.line(`  → next size ${describe(event.to)}, ${event.toWeights} weights`);
        return;
      case "candidate":
        this.line(
          `  ${this.#mark(event.passed)} ${describe(event.architecture)}, ${event.weights} weights, start ${event.start + 1}: ${this.#scoreOf(event)} over ${event.score.episodes} ${this.#measure.unit}s`,
        );
        return;
      case "proof":
        this.line(
          `  ${this.#mark(event.passed)} ${event.role} ${describe(event.architecture)}: ${this.#scoreOf(event)} over ${event.score.episodes} held-out ${this.#measure.unit}s, ` +
            `95 % lower bound ${this.#value(event.score.lower95)} (objective ${this.#objective(event.objective)})${event.sampled ? `; ${score(event.sampled.mean)} with drawn actions` : ""}`,
        );
        return;
      case "answer":
        return;
    }
  };

  /** The first line: what runs, and where. */
  title(text: string): void {
    this.line(this.#colours.bold(text));
  }

  /** A line that stays. */
  line(text: string): void {
    this.clear();
    this.#out.write(`${text}\n`);
  }

  /** Removes the live line. */
  clear(): void {
    if (this.#live && this.#drawn) this.#out.write("\r\u001b[2K");
    this.#drawn = false;
  }

  #value(value: number): string {
    return this.#measure.kind === "return" ? score(value) : share(value);
  }

  #scoreOf(event: { readonly score: { readonly mean: number } }): string {
    return `${this.#value(event.score.mean)}${this.#measure.kind === "return" ? "" : " agreement"}`;
  }

  #objective(value: number): string {
    return this.#measure.kind === "return" ? significant(value) : `${significant(100 * value)} %`;
  }

  #mark(good: boolean): string {
    return good ? this.#colours.green("✓") : this.#colours.yellow("✗");
  }

  #enter(title: string): void {
    if (title !== this.#stage) this.line(this.#colours.cyan(title));
    this.#stage = title;
    this.#stageStart = performance.now();
  }

  #status(text: string): void {
    if (!this.#live) return;
    this.clear();
    // A terminal that doesn't know its width says 0.
    this.#out.write(`  ${text}`.slice(0, (this.#out.columns || 80) - 1));
    this.#drawn = true;
  }

  /** Time left at the present pace: an upper bound where a stage may end early. */
  #left(progress: number): string {
    if (progress <= 0 || progress >= 1) return "";
    const seconds = ((performance.now() - this.#stageStart) / 1000) * (1 / progress - 1);
    return `at most ${duration(seconds)} left`;
  }
}

const score = (value: number): string => (Number.isFinite(value) ? value.toFixed(1) : "none yet");
/** A stated objective as it is, one that was computed in five digits. */
const significant = (value: number): string => String(Number(value.toPrecision(5)));
const percent = (fraction: number): string => `${(100 * fraction).toFixed(1)} %`;
/** An agreement: its last percent is what matters. */
export const share = (fraction: number): string => `${(100 * fraction).toFixed(2)} %`;

function bar(progress: number): string {
  const filled = Math.round(20 * Math.min(1, Math.max(0, progress)));
  return `${"█".repeat(filled)}${"░".repeat(20 - filled)} ${String(Math.round(100 * progress)).padStart(3)} %`;
}

/** `42 s`, `3 min 05 s`, `2 h 10 min`. */
export function duration(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
  return `${Math.floor(whole / 3600)} h ${String(Math.floor((whole % 3600) / 60)).padStart(2, "0")} min`;
}

function stageTitle(event: Extract<Event, { type: "stage-started" }>, { kind }: Measure): string {
  switch (event.stage) {
    case "teacher":
      return "Train the teacher";
    case "prune":
      return `Round ${event.iteration}: prune under the teacher's supervision`;
    case "distill":
      return event.iteration === 0 ? "Teach the first student" : `Round ${event.iteration}: teach a smaller network`;
    case "squeeze":
      return "Squeeze: search below the last size that passed";
    case "proof":
      return event.iteration === 0 && event.architecture
        ? "Prove the teacher"
        : `Prove the smallest policy on held-out ${kind === "return" ? "episodes" : "observations"}`;
  }
}
