import { add, div, exp, log, logSoftmax, mean, mul, softmax, sub, sum, type Tensor } from "../tensor/graph.ts";

/**
 * Policy distillation loss (Rusu et al. 2015, equation 3): KL(softmax(teacher / temperature) || softmax(student)), the mean
 * over the batch. Both are [batch, actions]. The student is not tempered: its logits learn the sharpened scale. The mean
 * instead of the original's sum keeps the learning rate independent of the batch size.
 */
export function distillationLoss(teacher: Tensor, student: Tensor, temperature: number): Tensor {
  const logTarget = logSoftmax(div(teacher, temperature));
  const target = exp(logTarget);
  return mean(sum(mul(target, sub(logTarget, logSoftmax(student))), { axes: [1] }));
}

/** What the original PoPS adds to both distributions before the logarithm, without renormalising. */
const PAPER_EPSILON = 1e-5;

/** The original's form (PoPS, `model.py`): p = softmax(teacher / temperature) + 1e-5, q = softmax(student) + 1e-5, the mean of p log(p / q). */
export function paperLoss(teacher: Tensor, student: Tensor, temperature: number): Tensor {
  const p = add(softmax(div(teacher, temperature)), PAPER_EPSILON);
  const q = add(softmax(student), PAPER_EPSILON);
  return mean(sum(mul(p, log(div(p, q))), { axes: [1] }));
}
