/**
 * `npm run bench [section...]`: medians of repeated runs on this machine, beside PyTorch, Stable-Baselines3, Gymnasium, ONNX Runtime
 * and TensorFlow.js in the same run where they are there; each section in a process of its own, all of them if none is named.
 * With `--write` they take the place of the last ones in docs/performance.md. What each compares with: at the head of its file.
 */
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

/** Scripts of this folder, with their arguments. */
const SECTIONS: Readonly<Record<string, readonly [script: string, ...args: string[]]>> = {
  training: ["training.ts"],
  exports: ["exports.ts"],
  pixels: ["pixels.ts", "zoo/Pong-v0-policy.safetensors"],
  environments: ["environments.ts"],
  runs: ["seeds.ts", "run", "CartPole-v1", "--seeds", "3"],
};

const PAGE = new URL("../docs/performance.md", import.meta.url);

/** Prints what a section prints, and returns it. */
async function measured([script, ...args]: readonly [string, ...string[]]): Promise<string> {
  const path = fileURLToPath(new URL(script, import.meta.url));
  const child = spawn(process.execPath, ["--import", "tsx", path, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (part: string) => {
    process.stdout.write(part);
    text += part;
  });
  const code = await new Promise((resolve) => child.once("close", resolve));
  if (code !== 0) throw new Error(`${script} ended with code ${String(code)}`);
  return text;
}

function write(section: string, text: string): void {
  const [begin, end] = [`<!-- bench:${section} -->\n`, "<!-- end -->"];
  const page = readFileSync(PAGE, "utf8");
  const from = page.indexOf(begin) + begin.length;
  const to = page.indexOf(end, from);
  if (from < begin.length || to < 0) throw new Error(`docs/performance.md has no place for ${section}`);
  writeFileSync(PAGE, `${page.slice(0, from)}${text.trim()}\n${page.slice(to)}`);
}

const { values, positionals } = parseArgs({ options: { write: { type: "boolean" } }, allowPositionals: true });
const unknown = positionals.find((name) => !(name in SECTIONS));
if (unknown !== undefined) throw new Error(`no section ${unknown}; there are ${Object.keys(SECTIONS).join(", ")}`);
for (const [section, script] of Object.entries(SECTIONS)) {
  if (positionals.length > 0 && !positionals.includes(section)) continue;
  console.log(`\n## ${section}\n`);
  const text = await measured(script);
  if (values.write) write(section, text);
}
