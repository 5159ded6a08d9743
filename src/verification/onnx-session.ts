import { policyToQuantizedOnnx } from "../exporting/onnx-quantized.ts";
import type { ActivationBits } from "../exporting/quantization.ts";
import { ownInterface } from "../network/interface.ts";
import type { Policy } from "../network/policy.ts";
import type { Ranges } from "../quantization/ranges.ts";
import { InferenceSession, Tensor } from "../tensor/onnxruntime.ts";
import type { Calibration } from "./calibration.ts";
import { type Ask, compare } from "./compare.ts";

/** Of quantised exports: least share of equal actions, and how far continuous ones may be apart, in their range. */
export const QUANTIZED = { agreement: 0.99, tolerance: 0.01 } as const;

/** A model with a policy's own interface in ONNX Runtime, on one thread. */
export interface OnnxSession {
  readonly ask: Ask;
  /** Decides about one observation so many times. */
  decide(observation: Float32Array, times: number): Promise<void>;
  close(): Promise<void>;
}

/** @param alone whether it is asked about one observation at a time: dynamic ranges are those of all that come together */
export async function openOnnx(policy: Policy, model: Uint8Array, alone = false): Promise<OnnxSession> {
  const session = await InferenceSession.create(model, { intraOpNumThreads: 1, interOpNumThreads: 1 });
  const { input, outputs } = ownInterface(policy.architecture);
  const shape = policy.architecture.input;
  const feedOf = (observations: Float32Array, rows: number) => ({
    [input.name]: new Tensor("float32", observations, [rows, ...shape]),
  });
  const ask: Ask = async (observations, rows) => {
    const made = await session.run(feedOf(observations, rows));
    const [values, actions] = outputs.map(({ name }) =>
      Float32Array.from(made[name]?.data as ArrayLike<number | bigint>, Number),
    );
    return { outputs: values ?? new Float32Array(), actions: actions ?? new Float32Array() };
  };
  const askEach: Ask = async (observations, rows) => {
    const width = observations.length / rows;
    const answers: Awaited<ReturnType<Ask>>[] = [];
    for (let row = 0; row < rows; row++) answers.push(await ask(observations.slice(row * width, (row + 1) * width), 1));
    return {
      outputs: Float32Array.from(answers.flatMap((answer) => Array.from(answer.outputs))),
      actions: Float32Array.from(answers.flatMap((answer) => Array.from(answer.actions))),
    };
  };
  return {
    ask: alone ? askEach : ask,
    decide: async (observation, times) => {
      const feed = feedOf(observation, 1);
      for (let i = 0; i < times; i++) await session.run(feed);
    },
    close: () => session.release(),
  };
}

/** The policy alone, called by its own interface: without what it takes the place of. */
export const byItself = ({ architecture, parameters, provenance }: Policy): Policy => ({
  architecture,
  parameters,
  provenance,
});

/** How a policy is quantised for ONNX Runtime. */
export interface QuantizedForOnnx {
  readonly ranges: Ranges;
  readonly bits: ActivationBits;
}

/**
 * Calibrates a policy for ONNX Runtime. With `qdq`, 8 bits go into the layers where with them it acts as before on 99 % of the
 * observations, 16 where not and they do better.
 *
 * @param opset that the model may have; 16 bits need 21
 */
export async function calibrate(
  policy: Policy,
  calibration: Calibration,
  scheme: "qdq" | "dynamic",
  opset: number,
): Promise<QuantizedForOnnx> {
  const ranges = await calibration.ranges();
  if (scheme === "dynamic" || opset < 21) return { ranges, bits: 8 };
  const agreement = async (bits: ActivationBits): Promise<number> => {
    const session = await openOnnx(policy, policyToQuantizedOnnx(byItself(policy), ranges, { scheme, bits }));
    const found = await compare(policy, calibration.observations, session.ask, QUANTIZED.tolerance);
    await session.close();
    return found.agreement;
  };
  const bytes = await agreement(8);
  if (bytes >= QUANTIZED.agreement) return { ranges, bits: 8 };
  return { ranges, bits: (await agreement(16)) > bytes ? 16 : 8 };
}
