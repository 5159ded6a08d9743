import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { driverOf } from "../../../src/exporting/c/driver.ts";
import { type CodeOptions, policyToC } from "../../../src/exporting/c/source.ts";
import { inputSize, outputSize } from "../../../src/network/architecture.ts";
import type { Policy } from "../../../src/network/policy.ts";
import type { FixedPoint } from "../../../src/quantization/fixed-point.ts";

const WARNINGS = ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror"];

export const hasCompiler = (name: string): boolean => spawnSync(name, ["--version"]).status === 0;

const OPTIONS: CodeOptions = { prefix: "policy", file: "policy", observations: "float", scratch: "static" };

/** What a program of exported C answers to [rows, width] observations: outputs and actions, row by row. */
export function answersOf(
  policy: Policy,
  rows: Float32Array | Uint8Array,
  {
    compiler = "gcc",
    flags = ["-O1"],
    runner = [],
    fixed,
    ...options
  }: Partial<CodeOptions> & {
    compiler?: string;
    flags?: string[];
    /** Command that the program is run by. */
    runner?: string[];
    fixed?: FixedPoint | undefined;
  } = {},
): { outputs: Float32Array; actions: Float32Array } {
  const { architecture } = policy;
  const all = { ...OPTIONS, ...options };
  const folder = mkdtempSync(join(tmpdir(), "pops-c-"));
  try {
    const { header, source } = policyToC(policy, all, fixed);
    writeFileSync(join(folder, `${all.file}.h`), header);
    writeFileSync(join(folder, `${all.file}.c`), source);
    writeFileSync(join(folder, "driver.c"), driverOf(architecture, all, fixed !== undefined));
    const compiled = spawnSync(compiler, [...WARNINGS, ...flags, "-c", `${all.file}.c`], {
      cwd: folder,
      encoding: "utf8",
    });
    if (compiled.status !== 0) throw new Error(`${compiled.stderr}\n${source}`);
    const linked = spawnSync(compiler, ["-std=c99", ...flags, "driver.c", `${all.file}.o`, "-lm", "-o", "driver"], {
      cwd: folder,
      encoding: "utf8",
    });
    if (linked.status !== 0) throw new Error(linked.stderr);
    const [command = "", ...rest] = runner.concat(join(folder, "driver"));
    const count = rows.length / inputSize(architecture);
    const input = Buffer.concat([
      Buffer.from(Uint32Array.of(count).buffer),
      new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength),
    ]);
    const ran = spawnSync(command, rest, { input, maxBuffer: 2 ** 30 });
    if (ran.status !== 0) throw new Error(`${ran.status} ${ran.signal} ${ran.stderr.toString()}`);
    const answers = new Float32Array(new Uint8Array(ran.stdout).buffer);
    const size = outputSize(architecture);
    const width = size + (architecture.gaussian ? size : 1);
    if (answers.length !== count * width) throw new Error(`${answers.length} answers to ${count} rows`);
    const part = (from: number, to: number): Float32Array =>
      answers.filter((_, at) => at % width >= from && at % width < to);
    return { outputs: part(0, size), actions: part(size, width) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
