/**
 * Plays a teacher and a compact policy from the same start and draws them side by side, the teacher at the left.
 *
 *   npm run gif -- Pong-v0                                            those of the zoo, into docs/images/Pong-v0.gif
 *   npm run gif -- Pong-v0 --from 40 --seconds 12                      from the 40th second of the game on
 *   npm run gif -- CartPole-v1 --teacher teacher.safetensors --policy policy.onnx --output cartpole.gif
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { encode } from "modern-gif";
import { zooEntry, zooPath } from "../src/cli/zoo.ts";
import type { Environment } from "../src/environment/environment.ts";
import { makeEnvironment, specOf } from "../src/environment/registry.ts";
import { loadPolicy } from "../src/importing/load.ts";
import { argmax, boundActions } from "../src/network/action.ts";
import { checkFits } from "../src/network/architecture.ts";
import type { Policy } from "../src/network/policy.ts";
import { predictor } from "../src/network/predict.ts";
import { Raster } from "./raster.ts";

/** How the two are shown: pixels of each, how many times finer they are drawn, and steps a frame of the GIF. */
interface Look {
  readonly width: number;
  readonly height: number;
  readonly finer: number;
  readonly stepsPerFrame: number;
}

const CONTROL: Look = { width: 300, height: 200, finer: 3, stepsPerFrame: 3 };
const GAME: Look = { width: 160, height: 210, finer: 1, stepsPerFrame: 1 };
const GAP = 8;
/** The last picture is seen longer. */
const PAUSE = 1500;

/** The side's player, which goes on to stand where its episode ended. */
class Player {
  readonly raster: Raster;
  readonly #environment: Environment;
  readonly #policy: Policy;
  readonly #predict: ReturnType<typeof predictor>;
  #observation: Float32Array;
  ended = false;

  constructor(policy: Policy, environment: string, seed: number, { width, height, finer }: Look) {
    this.#policy = policy;
    this.#environment = makeEnvironment(environment);
    checkFits(policy.architecture, this.#environment.spec);
    this.#predict = predictor(policy);
    this.#observation = this.#environment.reset(seed);
    this.raster = new Raster(width * finer, height * finer);
  }

  draw(): void {
    this.#environment.render?.(this.raster);
  }

  step(): void {
    if (this.ended) return;
    const { architecture } = this.#policy;
    const outputs = this.#predict(this.#observation);
    if (architecture.gaussian) boundActions(architecture, outputs);
    const step = this.#environment.step(architecture.gaussian ? outputs : argmax(outputs));
    this.#observation = step.observation;
    this.ended = step.terminated || step.truncated;
  }
}

const {
  values,
  positionals: [environment],
} = parseArgs({
  options: {
    teacher: { type: "string" },
    policy: { type: "string" },
    seed: { type: "string", default: "1" },
    from: { type: "string", default: "0" },
    seconds: { type: "string", default: "12" },
    output: { type: "string" },
  },
  allowPositionals: true,
});
if (environment === undefined) throw new Error("npm run gif -- <environment>");
const { frameStack, picture } = specOf(environment);
const look = frameStack === undefined ? CONTROL : GAME;
const stepsPerSecond = picture?.stepsPerSecond ?? 50;
const files = [
  values.teacher ?? zooPath(zooEntry(`${environment}-teacher`)),
  values.policy ?? zooPath(zooEntry(`${environment}-policy`)),
];
const policies = await Promise.all(files.map((file) => loadPolicy(file)));
const players = policies.map((policy) => new Player(policy, environment, Number(values.seed), look));

for (let step = 0; step < Number(values.from) * stepsPerSecond; step++) for (const player of players) player.step();

const [width, height] = [2 * look.width + GAP, look.height];
const delay = (1000 * look.stepsPerFrame) / stepsPerSecond;
const frames: { data: Uint8ClampedArray<ArrayBuffer>; delay: number; transparent: boolean }[] = [];
for (let at = 0; at < 1000 * Number(values.seconds); at += delay) {
  const picture = new Raster(width, height);
  picture.clear("#808080");
  for (const [side, player] of players.entries()) {
    player.draw();
    picture.place(player.raster, side * (look.width + GAP), look.finer);
    for (let step = 0; step < look.stepsPerFrame; step++) player.step();
  }
  // Without saying so each frame would be taken for one with holes, and stored as a whole.
  frames.push({ data: picture.pixels, delay, transparent: false });
  if (players.every(({ ended }) => ended)) break;
}
frames.at(-1)!.delay = PAUSE;
const gif = await encode({ width, height, frames, maxColors: 63, colorTableSize: 64 });
const output = values.output ?? `docs/images/${environment}.gif`;
writeFileSync(output, new Uint8Array(gif));
console.log(`${output}: ${frames.length} frames, ${gif.byteLength} bytes`);
