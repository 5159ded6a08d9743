import type { EnvironmentSpec } from "../../environment/environment.ts";
import { nearest } from "../../environment/nearest.ts";
import { environmentIds, specOf } from "../../environment/registry.ts";
import { UsageError } from "../../errors.ts";
import { policyToOnnx } from "../../exporting/onnx.ts";
import { policyToHalfSafetensors, policyToSafetensors } from "../../exporting/safetensors.ts";
import { policyToSb3 } from "../../exporting/sb3.ts";
import { writeAtomically } from "../../files.ts";
import { loadPolicy } from "../../importing/load.ts";
import { checkFits } from "../../network/architecture.ts";
import type { Policy } from "../../network/policy.ts";
import { knownEnvironment } from "../environment.ts";
import { type QuantizeFlags, quantize } from "../quantize.ts";

interface Wishes {
  /** What is known of the policy's environment. */
  readonly spec?: EnvironmentSpec | undefined;
  /** Numbers in half precision. */
  readonly half?: boolean | undefined;
}

const formats: Record<string, (policy: Policy, wishes: Wishes) => Uint8Array> = {
  onnx: (policy) => policyToOnnx(policy),
  safetensors: (policy, { half }) => (half ? policyToHalfSafetensors(policy) : policyToSafetensors(policy)),
  sb3: (policy, { spec }) => policyToSb3(policy, spec),
};

/** Writes a policy file by the name of its format. */
export function writePolicy(policy: Policy, format: string, output: string, wishes: Wishes = {}): void {
  const encode = formats[format];
  if (!encode) {
    const meant = nearest(format, Object.keys(formats));
    const hint = meant === undefined ? `known are ${Object.keys(formats).join(", ")}` : `did you mean "${meant}"?`;
    throw new UsageError("format", `there is no format "${format}"; ${hint}`);
  }
  const bytes = encode(policy, wishes);
  written(output, bytes);
}

function written(output: string, bytes: Uint8Array): void {
  writeAtomically(output, bytes);
  process.stdout.write(`${output}: ${bytes.length} bytes\n`);
}

export async function exportPolicy(
  format: string,
  file: string,
  flags: QuantizeFlags & { output: string; half?: boolean },
): Promise<void> {
  const { half } = flags;
  if (half && format !== "safetensors") throw new UsageError("--half", `is for safetensors, not for ${format}`);
  if (flags.quantize !== undefined && format !== "onnx") {
    throw new UsageError("--quantize", `is for onnx, not for ${format}`);
  }
  for (const [option, value] of Object.entries({
    "--observations": flags.observations,
    "--observations-key": flags.observationsKey,
    "--calibration": flags.calibration,
  })) {
    if (value !== undefined && flags.quantize === undefined) throw new UsageError(option, "is for --quantize");
  }
  const policy = await loadPolicy(file);
  if (flags.quantize !== undefined) {
    const { bytes, lines } = await quantize(policy, file, flags);
    written(flags.output, bytes);
    process.stdout.write(lines.map((line) => `  ${line}\n`).join(""));
    return;
  }
  const { environment = "" } = policy;
  let spec = environmentIds().includes(environment) ? specOf(environment) : undefined;
  if (flags.env !== undefined) {
    ({ spec } = await knownEnvironment(flags.env, flags));
    checkFits(policy.architecture, spec);
  }
  writePolicy(policy, format, flags.output, { spec, half });
}
