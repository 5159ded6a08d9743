import { nearest } from "../../environment/nearest.ts";
import { environmentIds, specOf } from "../../environment/registry.ts";
import { UsageError } from "../../errors.ts";
import { policyToOnnx } from "../../exporting/onnx.ts";
import { policyToSafetensors } from "../../exporting/safetensors.ts";
import { policyToSb3 } from "../../exporting/sb3.ts";
import { writeAtomically } from "../../files.ts";
import { loadPolicy } from "../../importing/load.ts";
import type { Policy } from "../../network/policy.ts";

const formats: Record<string, (policy: Policy) => Uint8Array> = {
  onnx: policyToOnnx,
  safetensors: policyToSafetensors,
  sb3: (policy) => {
    const { environment } = policy;
    const known = environment !== undefined && environmentIds().includes(environment);
    return policyToSb3(policy, known ? specOf(environment) : undefined);
  },
};

/** Writes a policy file by the name of its format. */
export function writePolicy(policy: Policy, format: string, output: string): void {
  const encode = formats[format];
  if (!encode) {
    const meant = nearest(format, Object.keys(formats));
    const hint = meant === undefined ? `known are ${Object.keys(formats).join(", ")}` : `did you mean "${meant}"?`;
    throw new UsageError("format", `there is no format "${format}"; ${hint}`);
  }
  const bytes = encode(policy);
  writeAtomically(output, bytes);
  process.stdout.write(`${output}: ${bytes.length} bytes\n`);
}

export async function exportPolicy(format: string, file: string, flags: { output: string }): Promise<void> {
  writePolicy(await loadPolicy(file), format, flags.output);
}
