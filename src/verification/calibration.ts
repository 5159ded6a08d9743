import type { Network } from "../network/policy.ts";
import { type Ranges, rangesOf } from "../quantization/ranges.ts";
import type { Observations } from "../replay/rows.ts";

/** What quantised exports of a policy are calibrated on. */
export interface Calibration {
  /** [rows, observation size]; bytes if its observations are. */
  readonly observations: Observations;
  /** What they say of it in whole numbers: found out when it is asked for, once for all exports. */
  readonly ranges: () => Promise<Ranges>;
}

export function calibrationOf(policy: Network, observations: Observations): Calibration {
  let ranges: Promise<Ranges> | undefined;
  return { observations, ranges: () => (ranges ??= rangesOf(policy, observations)) };
}
