import { type FusedStep, fusedAdam } from "./fused-adam.ts";
import { add, div, maximum, minimum, mul, sqrt, square, sub, sum, type Tensor } from "./graph.ts";

/**
 * One step of an optimiser as a graph piece on the flat parameter vector, about eight nodes whatever the network's depth.
 * Scalars that change from step to step (`coefficients`) are computed in float64 outside and fed, so that schedules and
 * bias corrections need no new program and lose no digits.
 */
export interface Optimizer {
  /** Moment vectors, each of the parameters' length, and the value that they start with. */
  readonly moments: readonly { readonly name: string; readonly initial: number }[];
  /** Scalars of update number `step` (from 1) at learning rate `rate`; always the same count. */
  readonly coefficients: (rate: number, step: number) => readonly number[];
  /** New parameters and new moments. */
  readonly apply: (
    parameters: Tensor,
    gradient: Tensor,
    moments: readonly Tensor[],
    coefficients: readonly Tensor[],
  ) => readonly [parameters: Tensor, moments: readonly Tensor[]];
  /** The same update, to the bit, as a kernel on memory of its own; its `step` takes the coefficients and the gradient's scale. */
  readonly fused?: (size: number) => FusedStep;
}

/** Euclidean norm over all elements, a scalar. */
const globalNorm = (x: Tensor): Tensor => sqrt(sum(square(x)));

/** Factor that scales a gradient down so that its Euclidean norm is at most `limit` (Pascanu et al. 2013, algorithm 1). */
export function clipFactor(gradient: Tensor, limit: number): Tensor {
  return minimum(1, div(limit, maximum(globalNorm(gradient), 1e-12)));
}

const decay = (moment: Tensor, value: Tensor, rate: number): Tensor => add(mul(moment, rate), mul(value, 1 - rate));

export interface AdamOptions {
  readonly beta1?: number;
  readonly beta2?: number;
  readonly epsilon?: number;
}

/**
 * Adam (Kingma & Ba 2015, algorithm 1). Epsilon is added to the bias-corrected root, as in the paper and PyTorch
 * (defaults 0.9, 0.999, 1e-8); both corrections are folded into two scalars, so the vectors need no extra pass.
 */
export function adam({ beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8 }: AdamOptions = {}): Optimizer {
  return adamLike(beta1, beta2, (root) => epsilon * root);
}

/** Adam with TensorFlow's epsilon, added to the uncorrected root ("epsilon hat" in the paper's section 2; default 1e-7). */
export function adamTensorFlow({ beta1 = 0.9, beta2 = 0.999, epsilon = 1e-7 }: AdamOptions = {}): Optimizer {
  return adamLike(beta1, beta2, () => epsilon);
}

function adamLike(beta1: number, beta2: number, floor: (root: number) => number): Optimizer {
  return {
    moments: [
      { name: "adam_m", initial: 0 },
      { name: "adam_v", initial: 0 },
    ],
    // The moments are kept undamped, m / (1 - beta1) and v / (1 - beta2): two passes over the vector less.
    coefficients: (rate, step) => {
      const damping = Math.sqrt(1 - beta2);
      const root = Math.sqrt(1 - beta2 ** step);
      return [(rate * root * (1 - beta1)) / (1 - beta1 ** step) / damping, floor(root) / damping];
    },
    apply: (parameters, gradient, moments, coefficients) => {
      const m = add(mul(moments[0]!, beta1), gradient);
      const v = add(mul(moments[1]!, beta2), square(gradient));
      const [scaled, epsilon] = coefficients as readonly [Tensor, Tensor];
      return [sub(parameters, mul(div(m, add(sqrt(v), epsilon)), scaled)), [m, v]];
    },
    fused: (size) => fusedAdam(size, beta1, beta2),
  };
}

/**
 * RMSProp as TensorFlow defines it: epsilon inside the root, the mean square starts at 1
 * (defaults of `tf.train.RMSPropOptimizer`: decay 0.9, epsilon 1e-10). The original PoPS trains its students with it.
 */
export function rmsPropTensorFlow({ decay: rho = 0.9, epsilon = 1e-10 } = {}): Optimizer {
  return {
    moments: [{ name: "rms", initial: 1 }],
    coefficients: (rate) => [rate],
    apply: (parameters, gradient, moments, coefficients) => {
      const v = decay(moments[0]!, square(gradient), rho);
      return [sub(parameters, div(mul(gradient, coefficients[0]!), sqrt(add(v, epsilon)))), [v]];
    },
  };
}

/** RMSProp as PyTorch defines it: epsilon beside the root, the mean square starts at 0 (defaults alpha 0.99, epsilon 1e-8). */
export function rmsPropTorch({ alpha = 0.99, epsilon = 1e-8 } = {}): Optimizer {
  return {
    moments: [{ name: "rms", initial: 0 }],
    coefficients: (rate) => [rate],
    apply: (parameters, gradient, moments, coefficients) => {
      const v = decay(moments[0]!, square(gradient), alpha);
      return [sub(parameters, div(mul(gradient, coefficients[0]!), add(sqrt(v), epsilon))), [v]];
    },
  };
}

/** Stochastic gradient descent with momentum (PyTorch's form: velocity = momentum * velocity + gradient). */
export function sgd({ momentum = 0 } = {}): Optimizer {
  return {
    moments: momentum === 0 ? [] : [{ name: "velocity", initial: 0 }],
    coefficients: (rate) => [rate],
    apply: (parameters, gradient, moments, coefficients) => {
      const velocity = moments[0] ? add(mul(moments[0], momentum), gradient) : gradient;
      return [sub(parameters, mul(velocity, coefficients[0]!)), moments[0] ? [velocity] : []];
    },
  };
}
