import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { z } from "zod";
import { UsageError } from "../errors.ts";
import { driverOf } from "../exporting/c/driver.ts";
import { type CodeOptions, policyToC } from "../exporting/c/source.ts";
import { policyToJs } from "../exporting/js.ts";
import { policyToOnnx } from "../exporting/onnx.ts";
import { policyToQuantizedOnnx } from "../exporting/onnx-quantized.ts";
import { inputSize, outputSize } from "../network/architecture.ts";
import { ownInterface } from "../network/interface.ts";
import type { Policy } from "../network/policy.ts";
import { BITS, type Bits, type FixedPoint, quantize } from "../quantization/fixed-point.ts";
import type { Observations } from "../replay/rows.ts";
import { CProcess, timesOf } from "./c-process.ts";
import type { Calibration } from "./calibration.ts";
import type { Ask } from "./compare.ts";
import { compile, type Footprint, footprintOf, isThere, neededCompiler } from "./compiler.ts";
import { byItself, calibrate, openOnnx } from "./onnx-session.ts";

/** Forms that a policy is shipped in. */
export const EXPORTS = ["onnx", "onnx-qdq", "onnx-dynamic", "js", "c", "c-int16", "c-int8"] as const;
export type ExportName = (typeof EXPORTS)[number];

/** Bits of weights of those that are quantised. */
const BITS_OF: Readonly<Partial<Record<ExportName, Bits>>> = { "c-int8": BITS.int8, "c-int16": BITS.int16 };

/** An export that has been built and can be asked. */
export interface Built {
  readonly name: ExportName;
  readonly quantized: boolean;
  /** Bytes of what is shipped: the file, or the object file's code and constants at -Os. */
  readonly bytes: number;
  /** Of C: what its object file needs, here and on a Cortex-M4 where a compiler for it is there. */
  readonly footprint?: Footprint;
  readonly cortexM4?: Footprint;
  readonly answer: Ask;
  /** Decides so many times, one observation at a time; C measures itself: nanoseconds a decision, some rounds of it. */
  readonly speed:
    | { decide(observation: Float32Array, times: number): Promise<void> }
    | { measure(observation: Float32Array): number[] };
  close(): Promise<void>;
}

/** Writes C of a policy into a folder, `policy.c` and its header, quantised where the name says so. */
async function writeCode(
  policy: Policy,
  name: ExportName,
  { observations, ranges }: Calibration,
  folder: string,
): Promise<{ readonly source: string; readonly options: CodeOptions; readonly fixed: FixedPoint | undefined }> {
  const bits = BITS_OF[name];
  const bytes = observations instanceof Uint8Array;
  const type = bytes ? "uint8_t" : "float";
  const options: CodeOptions = { prefix: "policy", file: "policy", observations: type, scratch: "static" };
  const fixed = bits && quantize(policy, await ranges(), bits);
  const { header, source } = policyToC(policy, options, fixed);
  writeFileSync(join(folder, "policy.h"), header);
  writeFileSync(join(folder, "policy.c"), source);
  return { source, options, fixed };
}

/**
 * Builds an export as it is shipped, and what it takes to ask it.
 * @throws UsageError when a compiler of C is needed and missing
 */
export async function build(policy: Policy, name: ExportName, calibration: Calibration): Promise<Built> {
  const folder = mkdtempSync(join(tmpdir(), "pops-export-"));
  const clean = (): void => {
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const built = name.startsWith("onnx")
      ? await buildOnnx(policy, name, calibration)
      : name === "js"
        ? await buildJs(policy, folder)
        : await buildC(policy, name, calibration, folder);
    return {
      ...built,
      name,
      quantized: (BITS_OF[name] ?? SCHEMES[name]) !== undefined,
      close: async () => {
        await built.close();
        clean();
      },
    };
  } catch (error) {
    clean();
    throw error;
  }
}

type Runs = Omit<Built, "name" | "quantized">;

const SCHEMES: Readonly<Partial<Record<ExportName, "qdq" | "dynamic">>> = {
  "onnx-qdq": "qdq",
  "onnx-dynamic": "dynamic",
};

async function buildOnnx(policy: Policy, name: ExportName, calibration: Calibration): Promise<Runs> {
  const scheme = SCHEMES[name];
  const own = byItself(policy);
  const { opset } = ownInterface(policy.architecture);
  const quantized = scheme && (await calibrate(policy, calibration, scheme, opset));
  const model = quantized
    ? policyToQuantizedOnnx(own, quantized.ranges, { scheme, bits: quantized.bits })
    : policyToOnnx(own);
  const session = await openOnnx(policy, model, scheme === "dynamic");
  return { bytes: model.length, answer: session.ask, speed: session, close: () => session.close() };
}

const moduleSchema = z.object({
  forward: z.custom<(observation: Float32Array) => Float32Array>((value) => typeof value === "function"),
  act: z.custom<(observation: Float32Array) => number | Float32Array>((value) => typeof value === "function"),
});

async function buildJs(policy: Policy, folder: string): Promise<Runs> {
  const { code } = policyToJs(policy);
  const path = join(folder, "policy.mjs");
  writeFileSync(path, code);
  const { forward, act } = moduleSchema.parse(await import(pathToFileURL(path).href));
  const width = inputSize(policy.architecture);
  return {
    bytes: Buffer.byteLength(code),
    answer: (observations, rows) => {
      const outputs: number[] = [];
      const actions: number[] = [];
      for (let row = 0; row < rows; row++) {
        const observation = observations.subarray(row * width, (row + 1) * width);
        outputs.push(...forward(observation));
        const action = act(observation);
        if (typeof action === "number") actions.push(action);
        else actions.push(...action);
      }
      return Promise.resolve({ outputs: Float32Array.from(outputs), actions: Float32Array.from(actions) });
    },
    speed: {
      decide: (observation, times) => {
        for (let i = 0; i < times; i++) act(observation);
        return Promise.resolve();
      },
    },
    close: () => Promise.resolve(),
  };
}

/**
 * Bytes of code and constants of a policy in C, by the object file that this machine's compiler makes of it at -Os.
 * @throws UsageError when a compiler or `size` is missing
 */
export async function measureC(policy: Policy, name: ExportName, calibration: Calibration): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), "pops-size-"));
  try {
    await writeCode(policy, name, calibration, folder);
    const footprint = footprintOf(folder, "policy.c", neededCompiler());
    if (footprint === undefined) throw new UsageError("size", "is missing: install binutils");
    return footprint.flash;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const ARM = "arm-none-eabi-";

async function buildC(policy: Policy, name: ExportName, calibration: Calibration, folder: string): Promise<Runs> {
  const { architecture } = policy;
  const program = neededCompiler();
  const { source, options, fixed } = await writeCode(policy, name, calibration, folder);
  writeFileSync(join(folder, "driver.c"), driverOf(architecture, options, fixed !== undefined));
  compile(program, ["-O3", "-march=native", "driver.c", "policy.c", "-lm", "-o", "driver"], folder);
  const footprint = footprintOf(folder, "policy.c", program);
  const cortexM4 = isThere(`${ARM}gcc`)
    ? footprintOf(folder, "policy.c", `${ARM}gcc`, ARM, ["-mcpu=cortex-m4", "-mthumb"])
    : undefined;
  const size = outputSize(architecture);
  const width = size + (architecture.gaussian ? size : 1);
  const given = (rows: Float32Array): Observations =>
    calibration.observations instanceof Uint8Array ? Uint8Array.from(rows) : rows;
  const child = new CProcess(join(folder, "driver"), name, width);
  return {
    bytes: footprint?.flash ?? Buffer.byteLength(source),
    ...(footprint && { footprint }),
    ...(cortexM4 && { cortexM4 }),
    answer: async (observations, rows) => {
      const answers = await child.answer(given(observations), rows);
      const part = (from: number, to: number): Float32Array =>
        answers.filter((_, at) => at % width >= from && at % width < to);
      return { outputs: part(0, size), actions: part(size, width) };
    },
    speed: { measure: (observation) => timesOf(join(folder, "driver"), given(observation)) },
    close: () => child.close(),
  };
}
