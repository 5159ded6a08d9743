import { basename } from "node:path";
import type { EnvironmentSpec } from "../environment/environment.ts";
import { isPixels } from "../environment/spaces.ts";
import { UsageError } from "../errors.ts";
import { policyToC } from "../exporting/c/source.ts";
import { testOf } from "../exporting/c/vectors.ts";
import type { Network, Policy } from "../network/policy.ts";
import { BITS, FIXED_FORMS, quantize } from "../quantization/fixed-point.ts";
import { rangesOf } from "../quantization/ranges.ts";
import { calibrationOf } from "../verification/calibration.ts";
import { neededCompiler } from "../verification/compiler.ts";
import { measureC } from "../verification/exports.ts";
import type { Config } from "./config.ts";
import { wordsOf } from "./environment.ts";
import type { QuantizeFlags } from "./quantize.ts";
import { RECORDED, recordOne } from "./recorded.ts";

/** Files by their paths, the one that was asked for first, and what a user should know of them. */
export interface Encoded {
  readonly files: ReadonlyMap<string, Uint8Array | string>;
  readonly lines?: readonly string[];
}

export interface CodeFlags extends QuantizeFlags {
  readonly prefix?: string;
  readonly scratch?: "static" | "caller";
}

interface CodeWishes extends CodeFlags {
  /** File that holds the policy. */
  readonly file: string;
  /** What is known of the policy's environment. */
  readonly spec?: EnvironmentSpec | undefined;
}

/** A source, its header, and a test of them. Whole numbers are calibrated on observations. */
export async function cFiles(policy: Policy, output: string, wishes: CodeWishes): Promise<Encoded> {
  const { file, spec, prefix = "policy", scratch = "static", quantize: scheme, calibration = RECORDED } = wishes;
  const stem = /^(.+)\.c$/.exec(output)?.[1];
  if (stem === undefined) throw new UsageError("--output", `${output} is to be a source of C: name it .c`);
  const base = basename(stem);
  if (!/^[\w.-]+$/.test(base))
    throw new UsageError("--output", `${output}: letters, digits, "_", "-" and "." name a source`);
  if (!/^[a-z_]\w*$/i.test(prefix)) throw new UsageError("--prefix", `${prefix} is no identifier of C`);
  const form = FIXED_FORMS.find((name) => name === scheme);
  if (scheme !== undefined && form === undefined)
    throw new UsageError("--quantize", `is ${FIXED_FORMS.join(" or ")} for c, not ${scheme}`);
  const bits = form && BITS[form];
  const recorded = bits && (await recordOne(policy, file, wishes, calibration));
  const rows = recorded?.observations;
  const bytes = rows ? rows instanceof Uint8Array : spec !== undefined && isPixels(spec.observationSpace);
  const fixed = bits && rows && quantize(policy, await rangesOf(policy, rows), bits);
  const observations = bytes ? ("uint8_t" as const) : ("float" as const);
  const options = { prefix, file: base, observations, scratch, calibration: recorded?.source };
  const { header, source } = policyToC(policy, options, fixed);
  const files = new Map([
    [output, source],
    [`${stem}.h`, header],
    [`${stem}_test.c`, testOf(policy, options, fixed, rows)],
  ]);
  return { files };
}

/** A run in an environment whose policies are proven in whole numbers. */
type EnvironmentConfig = Extract<Config, { environment: string }>;

/** How the observations of such a run are recorded: as its own calibration records them. */
function recording({ environment, gymnasium, seed, pops }: EnvironmentConfig) {
  const words = wordsOf(gymnasium);
  const { module, kwargs, wrappers } = words.gymnasium ?? {};
  const flags = {
    seed,
    workers: 1,
    ...(module !== undefined && { envModule: module }),
    ...(kwargs !== undefined && { envKwargs: kwargs }),
    ...(wrappers && { envWrapper: wrappers }),
  };
  const provenance: Record<string, string> = pops.acting === "sampled" ? { acting: "sampled" } : {};
  return { flags, about: { environment, ...words, provenance } };
}

/**
 * Measures networks of a run as they are exported, in bytes of code and constants; `undefined` where nothing depends on them.
 * @throws UsageError when there is no compiler of C
 */
export function bytesIn(config: Config): ((network: Network) => Promise<number>) | undefined {
  if (!("environment" in config) || config.pops.quantize === null || config.pops.maxBytes === null) return undefined;
  neededCompiler();
  const { flags, about } = recording(config);
  const name = `c-${config.pops.quantize}` as const;
  return async (network) => {
    const policy = { ...network, ...about };
    const { observations } = await recordOne(policy, "the policy", flags, RECORDED);
    return measureC(policy, name, calibrationOf(policy, observations));
  };
}

/** The answer of a run in C, in the whole numbers that it was proven in; nothing where it was proven in float32. */
export async function provenCode(config: Config, policy: Policy, output: string): Promise<Encoded | undefined> {
  if (!("environment" in config) || config.pops.quantize === null) return undefined;
  return cFiles(policy, output, { file: output, quantize: config.pops.quantize, ...recording(config).flags });
}
