import type { Architecture, Gaussian } from "../network/architecture.ts";
import {
  add,
  constant,
  div,
  exp,
  greater,
  less,
  log,
  logSoftmax,
  maximum,
  mean,
  minimum,
  mul,
  softmax,
  square,
  sub,
  sum,
  type Tensor,
  tanh,
  where,
} from "../tensor/graph.ts";

/** Temperatures by which a teacher's outputs become a distribution. */
export interface Temperatures {
  /** Of Q-values. */
  readonly temperature: number;
  readonly logitsTemperature: number;
}

/** The one by which outputs of that meaning are divided. */
export function temperatureOf(head: Architecture["head"], { temperature, logitsTemperature }: Temperatures): number {
  return head === "logits" ? logitsTemperature : temperature;
}

/** KL(softmax(teacher / temperature) || softmax(student)) of each row of [batch, actions] outputs: [batch]. */
export function klOfRows(teacher: Tensor, student: Tensor, temperature: number): Tensor {
  const logTarget = logSoftmax(div(teacher, temperature));
  const target = exp(logTarget);
  return sum(mul(target, sub(logTarget, logSoftmax(student))), { axes: [1] });
}

/**
 * Policy distillation loss (Rusu et al. 2015, equation 3): the mean of `klOfRows` over the batch. The student is not tempered:
 * its logits learn the sharpened scale. The mean instead of the original's sum keeps the learning rate independent of the
 * batch size.
 */
export function distillationLoss(teacher: Tensor, student: Tensor, temperature: number): Tensor {
  return mean(klOfRows(teacher, student, temperature));
}

/** What the original PoPS adds to both distributions before the logarithm, without renormalising. */
const PAPER_EPSILON = 1e-5;

/** The original's form (PoPS, `model.py`): p = softmax(teacher / temperature) + 1e-5, q = softmax(student) + 1e-5, the mean of p log(p / q). */
export function paperLoss(teacher: Tensor, student: Tensor, temperature: number): Tensor {
  const p = add(softmax(div(teacher, temperature)), PAPER_EPSILON);
  const q = add(softmax(student), PAPER_EPSILON);
  return mean(sum(mul(p, log(div(p, q))), { axes: [1] }));
}

/**
 * KL(N(teacher, std) || N(student, std)) of diagonal Gaussians in closed form, of each row of [batch, dimensions] means: [batch]. Students keep the teacher's standard deviations, so log(std_S / std_T) + (std_T^2 + (mean_T -
 * mean_S)^2) / (2 std_S^2) - 1/2 comes down to (mean_T - mean_S)^2 / (2 std^2). A teacher's mean beyond a bound acts as the
 * bound does, and so would any student's mean out there: where both lie beyond the same bound nothing is lost, and a
 * student that falls short of it is drawn to the bound. Squashed means are compared after the tanh, for the same reason: far
 * out, means that differ act alike.
 */
export function gaussianKlOfRows(teacher: Tensor, student: Tensor, gaussian: Gaussian): Tensor {
  const { logStd, low, high, squash } = gaussian;
  const precision = constant(logStd.map((value) => Math.exp(-value)));
  if (squash) {
    const distance = mul(sub(tanh(student), tanh(teacher)), precision);
    return mul(0.5, sum(square(distance), { axes: [1] }));
  }
  const lowest = constant(low);
  const highest = constant(high);
  const error = sub(student, minimum(maximum(teacher, lowest), highest));
  const fromAbove = where(greater(teacher, highest), minimum(error, 0), error);
  const counted = where(less(teacher, lowest), maximum(fromAbove, 0), fromAbove);
  const scaled = mul(counted, precision);
  return mul(0.5, sum(square(scaled), { axes: [1] }));
}

/** The mean of `gaussianKlOfRows` over the batch. */
export function gaussianLoss(teacher: Tensor, student: Tensor, gaussian: Gaussian): Tensor {
  return mean(gaussianKlOfRows(teacher, student, gaussian));
}
