import { UsageError } from "../errors.ts";
import { policyToQuantizedOnnx, QUANTIZATIONS } from "../exporting/onnx-quantized.ts";
import { inputSize } from "../network/architecture.ts";
import { ownInterface } from "../network/interface.ts";
import type { Policy } from "../network/policy.ts";
import { integer } from "../report/format.ts";
import { calibrationOf } from "../verification/calibration.ts";
import { compare } from "../verification/compare.ts";
import { byItself, calibrate, openOnnx, QUANTIZED } from "../verification/onnx-session.ts";
import { share } from "./progress.ts";
import { openRecorder, RECORDED, type RecordedFlags } from "./recorded.ts";

/** What the command line says of quantisation. */
export interface QuantizeFlags extends RecordedFlags {
  readonly quantize?: string;
  readonly calibration?: number;
}

/** A quantised model, and what a user should know of it, a text a line. */
interface QuantizedFile {
  readonly bytes: Uint8Array;
  readonly lines: readonly string[];
}

/**
 * A policy as a quantised ONNX model: calibrated on one set of observations, held against the policy on another. Static
 * quantisation has 16 bits for what goes into the layers where with 8 it acts otherwise on more than one in a hundred.
 *
 * @throws UsageError when there is no such scheme, nothing to calibrate on, or the operator set is too old
 */
export async function quantizedOnnx(policy: Policy, file: string, flags: QuantizeFlags): Promise<QuantizedFile> {
  const scheme = QUANTIZATIONS.find((name) => name === flags.quantize);
  if (!scheme) throw new UsageError("--quantize", `is ${QUANTIZATIONS.join(" or ")} for onnx, not ${flags.quantize}`);
  const recorder = await openRecorder(policy, file, flags, flags.calibration ?? RECORDED);
  try {
    const { opset } = policy.interface ?? ownInterface(policy.architecture);
    const { ranges, bits } = await calibrate(
      policy,
      calibrationOf(policy, await recorder.record("calibration")),
      scheme,
      opset,
    );
    const held = await recorder.record("verification");
    const session = await openOnnx(
      policy,
      policyToQuantizedOnnx(byItself(policy), ranges, { scheme, bits }),
      scheme === "dynamic",
    );
    const { agreement } = await compare(policy, held, session.ask, QUANTIZED.tolerance);
    await session.close();
    const rows = integer(held.length / inputSize(policy.architecture));
    const said = { calibration: recorder.source, agreement: `${share(agreement)} on ${rows} other observations` };
    return {
      bytes: policyToQuantizedOnnx(policy, ranges, { scheme, bits, provenance: said }),
      lines: [
        `${scheme}: int8 weights, uint${bits} activations, calibrated on ${said.calibration}`,
        `acts as the float32 policy does: ${said.agreement}`,
      ],
    };
  } finally {
    await recorder.close();
  }
}
