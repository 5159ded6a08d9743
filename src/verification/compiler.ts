import { spawnSync } from "node:child_process";
import { basename, join } from "node:path";
import { UsageError } from "../errors.ts";

/** Compilers that are looked for, `$CC` in front of them. */
const COMPILERS = ["cc", "gcc", "clang"];

/** What an object file holds, in bytes: code and constants, and memory that can be written. */
export interface Footprint {
  readonly flash: number;
  readonly ram: number;
}

/** A compiler of C for this machine, if there is one. */
export function compiler(): string | undefined {
  const own = process.env["CC"];
  return [...(own ? [own] : []), ...COMPILERS].find(isThere);
}

/** Whether a program answers. */
export function isThere(program: string): boolean {
  return spawnSync(program, ["--version"]).status === 0;
}

/** @throws UsageError when there is none */
export function neededCompiler(): string {
  const found = compiler();
  if (found === undefined)
    throw new UsageError("CC", `no compiler of C was found (${COMPILERS.join(", ")}): install one`);
  return found;
}

/**
 * Runs a compiler in a folder.
 * @throws Error with what it said
 */
export function compile(program: string, flags: readonly string[], folder: string): void {
  const { status, stderr, error } = spawnSync(program, ["-std=c99", ...flags], { cwd: folder, encoding: "utf8" });
  if (status !== 0) throw new Error(`${program} ${flags.join(" ")}: ${error?.message ?? stderr}`);
}

/**
 * Sizes of an exported source by the object file that a compiler makes of it at -Os.
 * @param tools prefix of the compiler and of `size`, for machines other than this: `arm-none-eabi-`
 * @returns undefined where `size` is missing
 */
export function footprintOf(
  folder: string,
  source: string,
  program: string,
  tools = "",
  flags: readonly string[] = [],
): Footprint | undefined {
  const object = `${basename(source, ".c")}-${tools}size.o`;
  compile(program, ["-Os", ...flags, "-c", source, "-o", object], folder);
  const { status, stdout } = spawnSync(`${tools}size`, [join(folder, object)], { encoding: "utf8" });
  const [text, data, bss] = /^\s*(\d+)\s+(\d+)\s+(\d+)/m.exec(stdout)?.slice(1).map(Number) ?? [];
  if (status !== 0 || text === undefined || data === undefined || bss === undefined) return undefined;
  return { flash: text + data, ram: data + bss };
}
