import { label, sharedActions } from "../distillation/agreement.ts";
import { UsageError } from "../errors.ts";
import { policyToQuantizedOnnx, QUANTIZATIONS } from "../exporting/onnx-quantized.ts";
import type { ActivationBits } from "../exporting/quantization.ts";
import { anyPolicyFromOnnx } from "../importing/onnx.ts";
import { outputSize } from "../network/architecture.ts";
import { ownInterface } from "../network/interface.ts";
import type { Policy } from "../network/policy.ts";
import { rangesOn } from "../network/ranges.ts";
import { popsSchema } from "../pops/options.ts";
import { integer } from "../report/format.ts";
import { share } from "./progress.ts";
import { openRecorder, RECORDED, type RecordedFlags } from "./recorded.ts";

/** A smaller share of equal actions is too small. */
const ENOUGH = 0.99;

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
    const ranges = await rangesOn(policy, await recorder.record("calibration"));
    const held = await recorder.record("verification");
    const { architecture, interface: face, ...rest } = policy;
    const outputs = outputSize(architecture);
    const { tolerance } = popsSchema.parse({ objective: 0, lowerBound: 0 });
    const expected = await label(policy, held);
    const rows = integer(expected.length / outputs);

    const attempt = async (bits: ActivationBits): Promise<QuantizedFile & { readonly agreement: number }> => {
      // Called by itself it is given what the environment gives, whatever the policy's interface wants.
      const plain = policyToQuantizedOnnx({ ...rest, architecture }, ranges, { scheme, bits });
      const given = await label(anyPolicyFromOnnx(plain, "the quantised policy"), held);
      const agreement = sharedActions(architecture, expected, given, outputs, tolerance);
      const said = { calibration: recorder.source, agreement: `${share(agreement)} on ${rows} other observations` };
      return {
        agreement,
        bytes: policyToQuantizedOnnx(policy, ranges, { scheme, bits, provenance: said }),
        lines: [
          `${scheme}: int8 weights, uint${bits} activations, calibrated on ${said.calibration}`,
          `acts as the float32 policy does: ${said.agreement}`,
        ],
      };
    };
    const bytes = await attempt(8);
    const { opset } = face ?? ownInterface(architecture);
    if (bytes.agreement >= ENOUGH || scheme === "dynamic" || opset < 21) return bytes;
    const words = await attempt(16);
    return words.agreement > bytes.agreement
      ? { ...words, lines: [...words.lines, `(with uint8 activations: ${share(bytes.agreement)})`] }
      : bytes;
  } finally {
    await recorder.close();
  }
}
