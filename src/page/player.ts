import type { Action, Environment, Picture } from "../environment/environment.ts";
import { makeEnvironment } from "../environment/registry.ts";
import type { Color, Surface } from "../environment/surface.ts";
import { episodeSeed } from "../evaluation/episode-seed.ts";

/* The program of a page: it runs in browsers, in nothing else. */

/** What it asks of a browser's `window`. */
interface Browser {
  readonly document: { getElementById(id: string): PageElement | null };
  requestAnimationFrame(callback: (now: number) => void): number;
  matchMedia(query: string): { readonly matches: boolean };
}

/** Of an element; only a canvas has a context. */
interface PageElement {
  textContent: string | null;
  readonly width?: number;
  addEventListener(type: "click", listener: () => void): void;
  getContext?(kind: "2d"): Context | null;
}

/** Of CanvasRenderingContext2D. */
interface Context {
  fillStyle: string;
  strokeStyle: string;
  lineWidth: number;
  scale(x: number, y: number): void;
  fillRect(x: number, y: number, width: number, height: number): void;
  beginPath(): void;
  moveTo(x: number, y: number): void;
  lineTo(x: number, y: number): void;
  arc(x: number, y: number, radius: number, from: number, to: number): void;
  fill(): void;
  stroke(): void;
}

/** A canvas to draw on, in the units of an environment's picture. */
class Canvas implements Surface {
  readonly width: number;
  readonly height: number;
  readonly #context: Context;

  constructor(context: Context, { width, height }: Picture) {
    this.#context = context;
    this.width = width;
    this.height = height;
  }

  clear(color: Color): void {
    this.#context.fillStyle = color;
    this.#context.fillRect(0, 0, this.width, this.height);
  }

  polygon(points: readonly number[], fill: Color): void {
    this.#context.beginPath();
    for (let at = 0; at < points.length; at += 2) this.#context.lineTo(points[at] ?? 0, points[at + 1] ?? 0);
    this.#fill(fill);
  }

  circle(x: number, y: number, radius: number, fill: Color): void {
    this.#context.beginPath();
    this.#context.arc(x, y, radius, 0, 2 * Math.PI);
    this.#fill(fill);
  }

  line(x0: number, y0: number, x1: number, y1: number, color: Color, width: number): void {
    this.#context.beginPath();
    this.#context.moveTo(x0, y0);
    this.#context.lineTo(x1, y1);
    this.#context.strokeStyle = color;
    this.#context.lineWidth = width;
    this.#context.stroke();
  }

  #fill(color: Color): void {
    this.#context.fillStyle = color;
    this.#context.fill();
  }
}

/** Milliseconds for which the end of an episode is seen. */
const REST = 1_000;
/** Milliseconds behind which a page does not catch up: it was hidden. */
const LATE = 250;

/** Plays the episodes of `pops evaluate --seed 1`, one after the other. */
class Player {
  readonly #environment: Environment;
  readonly #act: (observation: Float32Array) => Action;
  #observation: Float32Array = new Float32Array(0);
  #total = 0;
  /** Returns of the episodes that have ended. */
  readonly returns: number[] = [];
  /** From 1. */
  episode = 0;
  seed = 0;
  steps = 0;
  ended = true;

  constructor(environment: Environment, act: (observation: Float32Array) => Action) {
    this.#environment = environment;
    this.#act = act;
  }

  /** Return so far. */
  get total(): number {
    return this.#total;
  }

  begin(): void {
    this.seed = episodeSeed(1, "evaluate", this.episode);
    this.episode++;
    this.#observation = this.#environment.reset(this.seed);
    this.#total = 0;
    this.steps = 0;
    this.ended = false;
  }

  /** One step, or the beginning of the next episode. */
  advance(): void {
    if (this.ended) {
      this.begin();
      return;
    }
    const { observation, reward, terminated, truncated } = this.#environment.step(this.#act(this.#observation));
    this.#observation = observation;
    this.#total += reward;
    this.steps++;
    this.ended = terminated || truncated;
    if (this.ended) this.returns.push(this.#total);
  }
}

/** At most three decimals, since what is shown has no use for more. */
const number = (value: number): string => String(Number(value.toFixed(3)));

/** Plays a policy in a built-in environment, in the elements of the page that `policyToPage` writes. */
export function play(browser: Browser, act: (observation: Float32Array) => Action, id: string): void {
  const element = (name: string): PageElement => {
    const found = browser.document.getElementById(name);
    if (found === null) throw new Error(`the page has no element ${name}`);
    return found;
  };
  const environment = makeEnvironment(id);
  const { picture } = environment.spec;
  const canvas = element("picture");
  const context = canvas.getContext?.("2d");
  if (!picture || !context) throw new Error("there is nothing to draw on");
  const scale = (canvas.width ?? picture.width) / picture.width;
  context.scale(scale, scale);
  const surface = new Canvas(context, picture);
  const player = new Player(environment, act);
  const pause = element("pause");
  // Whoever has asked for less motion starts it.
  let playing = !browser.matchMedia("(prefers-reduced-motion: reduce)").matches;
  let due = 0;

  const show = (): void => {
    environment.render?.(surface);
    pause.textContent = playing ? "Pause" : "Play";
    element("episode").textContent = String(player.episode);
    element("seed").textContent = String(player.seed);
    element("steps").textContent = String(player.steps);
    element("return").textContent = number(player.total);
    if (!player.ended) return;
    const { episode, steps, total, returns } = player;
    const mean = returns.reduce((sum, value) => sum + value, 0) / returns.length;
    element("ended").textContent =
      `Episode ${episode} ended after ${steps} steps with a return of ${number(total)}; mean of ${returns.length}: ${number(mean)}.`;
  };
  const onClick = (name: string, work: () => void): void => {
    element(name).addEventListener("click", () => {
      work();
      show();
    });
  };
  const frame = (now: number): void => {
    browser.requestAnimationFrame(frame);
    if (now - due > LATE) due = now;
    if (!playing || due > now) return;
    while (due <= now) {
      player.advance();
      due += player.ended ? REST : 1_000 / picture.stepsPerSecond;
    }
    show();
  };
  onClick("pause", () => {
    playing = !playing;
  });
  onClick("step", () => {
    playing = false;
    player.advance();
  });
  onClick("next", () => {
    player.begin();
  });
  player.begin();
  show();
  browser.requestAnimationFrame(frame);
}
