import type { EnvironmentSpec } from "../../environment/environment.ts";
import { nearest } from "../../environment/nearest.ts";
import { environmentIds, specOf } from "../../environment/registry.ts";
import { UsageError } from "../../errors.ts";
import { policyToJs } from "../../exporting/js.ts";
import { policyToOnnx } from "../../exporting/onnx.ts";
import { policyToHalfSafetensors, policyToSafetensors } from "../../exporting/safetensors.ts";
import { policyToSb3 } from "../../exporting/sb3.ts";
import { writeAtomically } from "../../files.ts";
import { loadPolicy, loadTeacher } from "../../importing/load.ts";
import { checkFits } from "../../network/architecture.ts";
import type { Policy } from "../../network/policy.ts";
import { playable, policyToPage } from "../../page/page.ts";
import { type EnvironmentFlags, knownEnvironment } from "../environment.ts";

interface Wishes {
  /** What is known of the policy's environment. */
  readonly spec?: EnvironmentSpec | undefined;
  /** The environment that the command line names. */
  readonly environment?: string | undefined;
  /** Numbers in half precision. */
  readonly half?: boolean | undefined;
}

/** Files by their paths; the first is the one that was asked for. */
type Files = ReadonlyMap<string, Uint8Array | string>;
type Encode = (policy: Policy, output: string, wishes: Wishes) => Files | Promise<Files>;

/** A format of one file. */
const alone =
  (encode: (policy: Policy, wishes: Wishes) => Uint8Array): Encode =>
  (policy, output, wishes) =>
    new Map([[output, encode(policy, wishes)]]);

const formats: Record<string, Encode> = {
  onnx: alone((policy) => policyToOnnx(policy)),
  safetensors: alone((policy, { half }) => (half ? policyToHalfSafetensors(policy) : policyToSafetensors(policy))),
  sb3: alone((policy, { spec }) => policyToSb3(policy, spec)),
  js: jsFiles,
  html: async (policy, output, { environment }) => new Map([[output, await policyToPage(policy, environment)]]),
};

/** Formats that are code. */
const CODE = ["js", "html"];

/** @throws UsageError when the file holds a black box, which would take ONNX Runtime along */
async function layersIn(file: string, format: string): Promise<Policy> {
  const policy = await loadTeacher(file);
  if ("parameters" in policy) return policy;
  const advice = "compress it first (pops compress), and export what comes out";
  throw new UsageError("format", `${format} is for networks of layers, ${file} holds a black box: ${advice}`);
}

/** A module, and its types beside it. */
function jsFiles(policy: Policy, output: string): Files {
  const [, stem, m] = /^(.+)\.(m?)js$/.exec(output) ?? [];
  if (stem === undefined) throw new UsageError("--output", `${output} is to be a module: name it .js or .mjs`);
  const { code, types } = policyToJs(policy);
  return new Map([
    [output, code],
    [`${stem}.d.${m}ts`, types],
  ]);
}

/** Writes a policy file by the name of its format. */
export async function writePolicy(policy: Policy, format: string, output: string, wishes: Wishes = {}): Promise<void> {
  const encode = formats[format];
  if (!encode) {
    const meant = nearest(format, Object.keys(formats));
    const hint = meant === undefined ? `known are ${Object.keys(formats).join(", ")}` : `did you mean "${meant}"?`;
    throw new UsageError("format", `there is no format "${format}"; ${hint}`);
  }
  for (const [path, content] of await encode(policy, output, wishes)) {
    const bytes = Buffer.from(content);
    writeAtomically(path, bytes);
    process.stdout.write(`${path}: ${bytes.length} bytes\n`);
  }
}

export async function exportPolicy(
  format: string,
  file: string,
  flags: EnvironmentFlags & { output: string; env?: string; half?: boolean },
): Promise<void> {
  const { half } = flags;
  if (half && format !== "safetensors") throw new UsageError("--half", `is for safetensors, not for ${format}`);
  const policy = CODE.includes(format) ? await layersIn(file, format) : await loadPolicy(file);
  const { environment = "" } = policy;
  let spec = environmentIds().includes(environment) ? specOf(environment) : undefined;
  if (flags.env !== undefined) {
    // Before Python is started, or a module run.
    if (format === "html") playable(flags.env);
    ({ spec } = await knownEnvironment(flags.env, flags));
    checkFits(policy.architecture, spec);
  }
  await writePolicy(policy, format, flags.output, { spec, environment: flags.env, half });
}
