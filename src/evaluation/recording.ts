import type { OpenEnvironment } from "../environment/open.ts";
import { type Acting, actionsOf, sampleAction } from "../network/action.ts";
import { checkFits, inputSize } from "../network/architecture.ts";
import type { BlackBox, Network } from "../network/policy.ts";
import { stream } from "../random/pcg64.ts";
import { episodeSeed } from "./episode-seed.ts";
import { compileFixed } from "./evaluate.ts";

/** Observations that quantisation is calibrated on, where nothing else is said, from a set of episodes of this name. */
export const CALIBRATION = { set: "calibration", rows: 10_000 } as const;

/** Which observations are recorded. */
export interface RecordingOptions {
  readonly seed: number;
  /** Name of a set of episodes, as of an `Evaluator`. */
  readonly set: string;
  /** Observations. */
  readonly rows: number;
  /** How the policy plays: it is its own states that are wanted. */
  readonly acting: Acting;
}

/**
 * The first observations that a policy meets in the episodes of a set, [rows, observation size]: episode after episode, each from
 * its beginning to its end, the last one as far as there is room. Whole episodes, since states early and late in them differ.
 * Stacked frames come as bytes. One decision is made at a time, so 10,000 observations of a large network take some seconds.
 *
 * @throws UsageError when the policy does not fit the environment
 */
export async function recordObservations(
  player: Network | BlackBox,
  environment: Pick<OpenEnvironment, "vector">,
  { seed, set, rows, acting }: RecordingOptions,
): Promise<Float32Array | Uint8Array> {
  const { architecture } = player;
  const lane = environment.vector(1);
  try {
    checkFits(architecture, lane.spec);
    const width = inputSize(architecture);
    const recorded = new (lane.spec.frameStack === undefined ? Float32Array : Uint8Array)(rows * width);
    const program = await compileFixed(player, 1);
    program.bind("observations", lane.observations);
    const [actions, outputs] = [actionsOf(architecture, program), program.floats("outputs")];
    let row = 0;
    for (let episode = 0; row < rows; episode++) {
      await lane.reset(0, episodeSeed(seed, set, episode));
      const draws = stream(seed, `actions/${set}`, episode);
      for (; row < rows; row++) {
        recorded.set(lane.observations, row * width);
        await program.run();
        if (acting === "sampled") sampleAction(architecture, outputs, 0, draws, actions);
        await lane.step(actions);
        if (lane.terminated[0] || lane.truncated[0]) {
          row++;
          break;
        }
      }
    }
    await program.dispose();
    return recorded;
  } finally {
    await lane.close();
  }
}
