import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../", import.meta.url));
const modified = (...names: string[]): number => statSync(join(root, ...names)).mtimeMs;
/** What a build writes last. */
const LAST = "dist/environment/gymnasium-bridge.py";

/** Before the tests: compiles the program that those of the command line start, if its source has changed since it was. */
export default function build(): void {
  const sources = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" });
  const newest = Math.max(modified("tsconfig.build.json"), ...sources.map((name) => modified("src", name)));
  if (existsSync(join(root, LAST)) && modified(LAST) > newest) return;
  const { status, stdout, stderr } = spawnSync("npm", ["run", "build"], { cwd: root, encoding: "utf8" });
  if (status !== 0) throw new Error(`npm run build failed:\n${stdout}${stderr}`);
}
