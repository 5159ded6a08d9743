import type { EnvironmentSpec } from "../../environment/environment.ts";
import { nearest } from "../../environment/nearest.ts";
import { environmentIds, specOf } from "../../environment/registry.ts";
import { UsageError } from "../../errors.ts";
import { policyToJs } from "../../exporting/js.ts";
import { policyToOnnx } from "../../exporting/onnx.ts";
import { policyToHalfSafetensors, policyToSafetensors } from "../../exporting/safetensors.ts";
import { algorithmOf, policyToSb3 } from "../../exporting/sb3.ts";
import { writeAtomically } from "../../files.ts";
import { loadPolicy, loadTeacher } from "../../importing/load.ts";
import { checkFits } from "../../network/architecture.ts";
import type { Policy } from "../../network/policy.ts";
import { playable, policyToPage } from "../../page/page.ts";
import { type CodeFlags, cFiles, type Encoded } from "../c-files.ts";
import { environmentOf, givenOption, knownEnvironment } from "../environment.ts";
import { quantizedOnnx } from "../quantize.ts";

export interface ExportFlags extends CodeFlags {
  /** Numbers in half precision. */
  readonly half?: boolean;
}

interface Wishes extends ExportFlags {
  /** File that holds the policy. */
  readonly file: string;
  /** What is known of the policy's environment. */
  readonly spec?: EnvironmentSpec | undefined;
}

/** Options that are not for every format. */
const OPTIONS_OF = {
  half: { name: "--half", formats: ["safetensors"] },
  quantize: { name: "--quantize", formats: ["onnx", "c"] },
  prefix: { name: "--prefix", formats: ["c"] },
  scratch: { name: "--scratch", formats: ["c"] },
};

type Encode = (policy: Policy, output: string, wishes: Wishes) => Encoded | Promise<Encoded>;

/** A format of one file. */
const alone =
  (encode: (policy: Policy, wishes: Wishes) => Uint8Array | string | Promise<string>): Encode =>
  async (policy, output, wishes) => ({ files: new Map([[output, await encode(policy, wishes)]]) });

const formats: Record<string, Encode> = {
  onnx: onnxFiles,
  safetensors: alone((policy, { half }) => (half ? policyToHalfSafetensors(policy) : policyToSafetensors(policy))),
  sb3: sb3File,
  js: jsFiles,
  html: alone((policy, { env }) => policyToPage(policy, env)),
  c: cFiles,
};

/** Formats that are code. */
const CODE = ["js", "html", "c"];

/**
 * A policy whose layers are known, which `what` is for.
 * @throws UsageError when the file holds a black box, which would take ONNX Runtime along
 */
export async function layersIn(file: string, what: string, option = "format"): Promise<Policy> {
  const policy = await loadTeacher(file);
  if ("parameters" in policy) return policy;
  const advice = "compress it first (pops compress), and export what comes out";
  throw new UsageError(option, `${what} is for networks of layers, ${file} holds a black box: ${advice}`);
}

async function onnxFiles(policy: Policy, output: string, wishes: Wishes): Promise<Encoded> {
  if (wishes.quantize === undefined) return { files: new Map([[output, policyToOnnx(policy)]]) };
  const { bytes, lines } = await quantizedOnnx(policy, wishes.file, wishes);
  return { files: new Map([[output, bytes]]), lines };
}

function sb3File(policy: Policy, output: string, { spec }: Wishes): Encoded {
  const { architecture } = policy;
  const lines = [`Stable-Baselines3 loads it by ${algorithmOf(architecture)}.load`];
  if (!spec)
    lines.push(
      "Its spaces have the policy's sizes alone: to go on in an environment, name that with --env, whose they are then",
    );
  if (architecture.normalization?.clip !== undefined)
    lines.push("Normalised observations are not limited in it: beyond the limit of the statistics it acts otherwise");
  return { files: new Map([[output, policyToSb3(policy, spec)]]), lines };
}

/** A module, and its types beside it. */
function jsFiles(policy: Policy, output: string): Encoded {
  const [, stem, m] = /^(.+)\.(m?)js$/.exec(output) ?? [];
  if (stem === undefined) throw new UsageError("--output", `${output} is to be a module: name it .js or .mjs`);
  const { code, types } = policyToJs(policy);
  const files = new Map([
    [output, code],
    [`${stem}.d.${m}ts`, types],
  ]);
  return { files };
}

/** Writes a policy file by the name of its format. */
export async function writePolicy(
  policy: Policy,
  format: string,
  output: string,
  wishes: Partial<Wishes> = {},
): Promise<void> {
  const encode = formats[format];
  if (!encode) {
    const meant = nearest(format, Object.keys(formats));
    const hint = meant === undefined ? `known are ${Object.keys(formats).join(", ")}` : `did you mean "${meant}"?`;
    throw new UsageError("format", `there is no format "${format}"; ${hint}`);
  }
  const { files, lines = [] } = await encode(policy, output, { file: output, seed: 1, ...wishes });
  for (const [path, content] of files) {
    const bytes = Buffer.from(content);
    writeAtomically(path, bytes);
    process.stdout.write(`${path}: ${bytes.length} bytes\n`);
  }
  process.stdout.write(lines.map((line) => `  ${line}\n`).join(""));
}

export async function exportPolicy(
  format: string,
  file: string,
  flags: ExportFlags & { output: string },
): Promise<void> {
  for (const [option, { name, formats: right }] of Object.entries(OPTIONS_OF)) {
    if (flags[option as keyof typeof OPTIONS_OF] !== undefined && !right.includes(format))
      throw new UsageError(name, `is for ${right.join(" and ")}, not for ${format}`);
  }
  for (const option of ["observations", "observationsKey", "calibration"] as const) {
    if (flags[option] !== undefined && flags.quantize === undefined)
      throw new UsageError(`--${option === "observationsKey" ? "observations-key" : option}`, "is for --quantize");
  }
  const policy = CODE.includes(format) ? await layersIn(file, format) : await loadPolicy(file);
  const { environment = "" } = policy;
  let spec = environmentIds().includes(environment) ? specOf(environment) : undefined;
  if (flags.env !== undefined || givenOption(flags) !== undefined) {
    const [named, how] = flags.env === undefined ? environmentOf(policy, file, flags) : [flags.env, flags];
    // Before Python is started, or a module run.
    if (format === "html") playable(named);
    ({ spec } = await knownEnvironment(named, how));
    checkFits(policy.architecture, spec);
  }
  await writePolicy(policy, format, flags.output, { ...flags, file, spec });
}
