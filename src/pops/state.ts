import type { Architecture } from "../network/architecture.ts";
import type { Network } from "../network/policy.ts";
import type { Plain } from "../plain.ts";
import type { PruneState } from "../pruning/prune.ts";
import type { Compression } from "./context.ts";
import type { Proof } from "./proof.ts";
import type { JobsState } from "./search.ts";
import { firstStudent } from "./student.ts";

/** A network in plain data. */
interface SavedNetwork {
  readonly [key: string]: Plain;
  readonly architecture: Plain;
  readonly parameters: Float32Array;
}

/** Everything that the loop knows, at any safe point. */
export interface PopsState {
  [key: string]: Plain;
  /** `loop`: prune, or distil when there is a `next`. */
  phase: "loop" | "squeeze" | "proof";
  /** Gradient updates since the run began. */
  step: number;
  iteration: number;
  /** Architecture of the network that is pruned first: the teacher's, or the first student's. */
  first: Plain;
  /** The smallest network that passed so far, where pruning goes on; `null` before the first student did. */
  current: SavedNetwork | null;
  /** The next architecture, and where its students start from. */
  next: { readonly architecture: Plain; readonly parameters: Float32Array | null } | null;
  /** All that passed, by descending weights. */
  passing: readonly SavedNetwork[];
  /** Starts that failed, by layers: they would fail again. */
  failed: Readonly<Record<string, number>>;
  /** Squeeze search: every rung up to `low` failed, `high` and above passed. */
  low: number;
  high: number | null;
  /** Architecture of a network that passed, from which the ladder is made. */
  top: Plain;
  /** Candidates whose proof failed. */
  disproved: number;
  /** The teacher's, `null` before it. */
  proof: Proof | null;
  /** Of the stage that is under way. */
  prune: PruneState | null;
  jobs: JobsState | null;
}

export const save = (network: Network): SavedNetwork => ({
  architecture: network.architecture,
  parameters: network.parameters,
});
export const load = (saved: SavedNetwork): Network => ({
  architecture: saved.architecture as Architecture,
  parameters: saved.parameters,
});

/** The state that a compression begins with. */
export function begin({ teacher, options, stepsBefore }: Compression): PopsState {
  const student = firstStudent(teacher, options);
  return {
    phase: "loop",
    step: stepsBefore,
    iteration: student ? 0 : 1,
    first: student ?? teacher.architecture,
    // A relu on the outputs (the authors' CartPole teacher has one) would leave students with dead outputs.
    current:
      student || "model" in teacher ? null : save({ ...teacher, architecture: withLinearOutput(teacher.architecture) }),
    next: student && { architecture: student, parameters: null },
    passing: [],
    failed: {},
    low: -1,
    high: null,
    top: null,
    disproved: 0,
    proof: null,
    prune: null,
    jobs: null,
  };
}

function withLinearOutput(architecture: Architecture): Architecture {
  const { layers } = architecture;
  return {
    ...architecture,
    layers: layers.map((layer, l) => (l === layers.length - 1 ? { ...layer, activation: "none" } : layer)),
  };
}
