import { dense, layoutOf, parameterCount } from "../../src/network/architecture.ts";
import type { Network } from "../../src/network/policy.ts";

/** Push right when the pole's and the cart's drift, weighted like this, is to the right: holds CartPole up for ever. */
const BALANCE = [0.1, 0.3, 1, 1];

/** A 4-8-2 network that plays CartPole perfectly: every hidden unit holds one side of the balance. */
export function cartPoleTeacher(): Network {
  const architecture = dense(4, [8], 2, "logits");
  const parameters = new Float32Array(parameterCount(architecture));
  const [hidden, output] = layoutOf(architecture);
  for (let unit = 0; unit < 8; unit++) {
    const sign = unit % 2 === 0 ? 1 : -1;
    for (const [i, factor] of BALANCE.entries()) {
      parameters[hidden!.weights.offset + i * 8 + unit] = sign * factor * (1 + unit / 10);
    }
    parameters[output!.weights.offset + unit * 2 + 1] = sign;
  }
  return { architecture, parameters };
}

/** The same decisions by a linear network; a negative `gain` makes them all wrong. */
export function linearCartPole(gain: number): Network {
  return {
    architecture: dense(4, [], 2, "logits"),
    parameters: Float32Array.from([...BALANCE.flatMap((factor) => [0, gain * factor]), 0, 0]),
  };
}
