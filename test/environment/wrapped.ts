import type { VectorEnvironment } from "../../src/environment/environment.ts";

/** The same lanes with another `step`. */
export function withStep(lanes: VectorEnvironment, step: VectorEnvironment["step"]): VectorEnvironment {
  return {
    spec: lanes.spec,
    size: lanes.size,
    observations: lanes.observations,
    rewards: lanes.rewards,
    terminated: lanes.terminated,
    truncated: lanes.truncated,
    lifeLost: lanes.lifeLost,
    reset: (lane, seed) => lanes.reset(lane, seed),
    step,
    getState: () => lanes.getState(),
    setState: (state) => {
      lanes.setState(state);
    },
    close: () => lanes.close(),
  };
}
