import { basename } from "node:path";
import type { EnvironmentSpec } from "../../environment/environment.ts";
import { nearest } from "../../environment/nearest.ts";
import { environmentIds, specOf } from "../../environment/registry.ts";
import { isPixels } from "../../environment/spaces.ts";
import { UsageError } from "../../errors.ts";
import { policyToC } from "../../exporting/c/source.ts";
import { testOf } from "../../exporting/c/vectors.ts";
import { policyToJs } from "../../exporting/js.ts";
import { policyToOnnx } from "../../exporting/onnx.ts";
import { policyToHalfSafetensors, policyToSafetensors } from "../../exporting/safetensors.ts";
import { policyToSb3 } from "../../exporting/sb3.ts";
import { writeAtomically } from "../../files.ts";
import { loadPolicy, loadTeacher } from "../../importing/load.ts";
import { checkFits } from "../../network/architecture.ts";
import type { Policy } from "../../network/policy.ts";
import { playable, policyToPage } from "../../page/page.ts";
import { type Bits, quantize } from "../../quantization/fixed-point.ts";
import { rangesOf } from "../../quantization/ranges.ts";
import { type EnvironmentFlags, knownEnvironment } from "../environment.ts";
import { recordedFor } from "../recorded.ts";

export interface ExportFlags extends EnvironmentFlags {
  readonly env?: string;
  /** Numbers in half precision. */
  readonly half?: boolean;
  readonly prefix?: string;
  readonly scratch?: "static" | "caller";
  readonly quantize?: string;
  readonly calibration?: number;
  readonly observations?: string;
  readonly observationsKey?: string;
  readonly seed?: number;
}

interface Wishes extends ExportFlags {
  /** File that holds the policy. */
  readonly file: string;
  /** What is known of the policy's environment. */
  readonly spec?: EnvironmentSpec | undefined;
}

/** Observations that whole numbers are calibrated on. */
const ROWS = 10_000;

/** Options that are not for every format. */
const OPTIONS_OF = {
  half: ["safetensors"],
  prefix: ["c"],
  scratch: ["c"],
  quantize: ["c"],
  calibration: ["c"],
  observations: ["c"],
};

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
  html: async (policy, output, { env }) => new Map([[output, await policyToPage(policy, env)]]),
  c: cFiles,
};

/** Formats that are code. */
const CODE = ["js", "html", "c"];

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

const BITS: Readonly<Record<string, Bits>> = { int8: 8, int16: 16 };

/** A source, its header, and a test of them. Whole numbers are calibrated on observations. */
async function cFiles(policy: Policy, output: string, wishes: Wishes): Promise<Files> {
  const { file, spec, prefix = "policy", scratch = "static", quantize: scheme, calibration = ROWS } = wishes;
  const stem = /^(.+)\.c$/.exec(output)?.[1];
  if (stem === undefined) throw new UsageError("--output", `${output} is to be a source of C: name it .c`);
  const base = basename(stem);
  if (!/^[\w.-]+$/.test(base))
    throw new UsageError("--output", `${output}: letters, digits, "_", "-" and "." name a source`);
  if (!/^[a-z_]\w*$/i.test(prefix)) throw new UsageError("--prefix", `${prefix} is no identifier of C`);
  const bits = scheme === undefined ? undefined : BITS[scheme];
  if (scheme !== undefined && bits === undefined)
    throw new UsageError("--quantize", `is ${Object.keys(BITS).join(" or ")} for c, not ${scheme}`);
  const recorded = bits && (await recordedFor(policy, file, { seed: 1, ...wishes }, "calibration", calibration));
  const fixed = bits && recorded && quantize(policy, rangesOf(policy, recorded.rows), bits, recorded.bytes);
  const bytes = recorded?.bytes ?? (spec !== undefined && isPixels(spec.observationSpace));
  const observations = bytes ? ("uint8_t" as const) : ("float" as const);
  const options = { prefix, file: base, observations, scratch, calibration: recorded?.source };
  const { header, source } = policyToC(policy, options, fixed);
  return new Map([
    [output, source],
    [`${stem}.h`, header],
    [`${stem}_test.c`, testOf(policy, options, fixed, recorded?.rows)],
  ]);
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
  for (const [path, content] of await encode(policy, output, { file: output, ...wishes })) {
    const bytes = Buffer.from(content);
    writeAtomically(path, bytes);
    process.stdout.write(`${path}: ${bytes.length} bytes\n`);
  }
}

export async function exportPolicy(
  format: string,
  file: string,
  flags: ExportFlags & { output: string },
): Promise<void> {
  for (const [option, formatsOf] of Object.entries(OPTIONS_OF)) {
    const given = flags[option as keyof typeof OPTIONS_OF] !== undefined;
    if (given && !formatsOf.includes(format))
      throw new UsageError(`--${option}`, `is for ${formatsOf.join(" and ")}, not for ${format}`);
  }
  const policy = CODE.includes(format) ? await layersIn(file, format) : await loadPolicy(file);
  const { environment = "" } = policy;
  let spec = environmentIds().includes(environment) ? specOf(environment) : undefined;
  if (flags.env !== undefined) {
    // Before Python is started, or a module run.
    if (format === "html") playable(flags.env);
    ({ spec } = await knownEnvironment(flags.env, flags));
    checkFits(policy.architecture, spec);
  }
  await writePolicy(policy, format, flags.output, { ...flags, file, spec });
}
