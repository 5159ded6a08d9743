import type { OpenEnvironment } from "../environment/open.ts";
import type { Examination } from "../evaluation/examination.ts";
import type { Architecture } from "../network/architecture.ts";
import type { BlackBox, Network } from "../network/policy.ts";
import type { ObservationLog } from "../observations/log.ts";
import type { EnvironmentSource } from "./ground.ts";
import type { PopsOptions } from "./options.ts";

/** What is compressed, and with which means. */
export interface Compression {
  readonly teacher: Network | BlackBox;
  readonly options: PopsOptions;
  readonly seed: number;
  /** Worker threads for students, at least 1; their number never changes a result. */
  readonly workers: number;
  /** Updates made before, on the run's step axis. */
  readonly stepsBefore: number;
  /** Tells that there is no time for more tries: what has passed by then is proven. The caller has the clock. */
  readonly outOfTime?: (() => boolean) | undefined;
  /** Code and constants that a network takes as it is exported, for `maxBytes`. The caller has the compiler. */
  readonly bytesOf?: ((network: Network) => Promise<number>) | undefined;
}

/** Policies are tried by playing an environment. */
export interface PopsInEnvironment extends Compression, EnvironmentSource {
  /** The environment that the main thread plays; without it one is opened, for one thread, and closed. */
  readonly opened?: OpenEnvironment;
}

/** Policies are tried by their agreement with the teacher on logged observations: no return is measured. */
interface PopsOnObservations extends Compression {
  readonly observations: ObservationLog;
}

/** What is compressed, on what, and with which means. */
export type PopsContext = PopsInEnvironment | PopsOnObservations;

/** With the means of trying policies. */
export type Examining = Compression & { readonly examination: Examination; readonly timeIsUp: () => boolean };

/** With what students are to be like. */
export type Teaching = Examining & {
  /** A smaller architecture as a student of it is: with its own normalisation, if it gets one. */
  readonly asStudent: (architecture: Architecture) => Architecture;
};
