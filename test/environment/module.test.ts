import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";

/* Modules of the user's own, imported by one process of its own: a test has modules of its own kind. */

const CLASS = 'class Mine { spec = { id: "Mine-v0" }; }';
const TYPED = 'import { discrete, type Space } from "pops-rl"; enum Side { Left } const space: Space = discrete(2);';

const cases: readonly [what: string, file: string, text: string, outcome: unknown][] = [
  ["a class", "class.ts", `export default ${CLASS}`, { id: "Mine-v0", slow: false }],
  ["an arrow function", "arrow.mts", `${CLASS} export default (): Mine => new Mine();`, { id: "Mine-v0", slow: false }],
  [
    "a function",
    "function.mjs",
    `${CLASS} export default function make() { return new Mine(); }`,
    { id: "Mine-v0", slow: false },
  ],
  ["that it is slow", "slow.js", `export const slow = true; export default ${CLASS}`, { id: "Mine-v0", slow: true }],
  ["what is compiled only", "typed.ts", `${TYPED} export default ${CLASS}`, { id: "Mine-v0", slow: false }],
  ["modules of its own", "folder/index.ts", 'export { default } from "../typed.ts"', { id: "Mine-v0", slow: false }],
  [
    "TypeScript in a CommonJS package",
    "common/mine.ts",
    `${TYPED} export default ${CLASS}`,
    { id: "Mine-v0", slow: false },
  ],
  ["a CommonJS module", "common/mine.js", `module.exports = ${CLASS}`, { id: "Mine-v0", slow: false }],
  ["no default export", "none.ts", "export const slow = true;", null],
  [
    "another default export",
    "other.ts",
    "export default 3;",
    expect.stringMatching(/^module: its export default has to be a class or a function: /),
  ],
  ["a flag that is none", "flag.ts", "export const slow = 1;", "module: its export slow has to be true or false"],
  ["an error", "error.ts", '\nthrow new Error("not today");', "module: cannot be loaded: not today (error.ts, line 2)"],
  [
    "a package that is missing",
    "missing.ts",
    'import "pops-rll";',
    expect.stringMatching(/^module: cannot be loaded: Cannot find package 'pops-rll' /),
  ],
];

let outcomes: unknown[] = [];
const folder = mkdtempSync(join(tmpdir(), "pops-module-"));
beforeAll(() => {
  for (const name of ["folder", "common"]) mkdirSync(join(folder, name));
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  writeFileSync(join(folder, "common/package.json"), '{ "type": "commonjs" }');
  for (const [, file, text] of cases) writeFileSync(join(folder, file), text);
  const script = fileURLToPath(new URL("fixtures/import-modules.ts", import.meta.url));
  const urls = cases.map(([, file]) => pathToFileURL(join(folder, file)).href);
  const parameters = ["--import", import.meta.resolve("tsx"), script, ...urls];
  outcomes = JSON.parse(execFileSync(process.execPath, parameters, { encoding: "utf8" })) as unknown[];
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

it.each(cases.map((one, index) => [...one, index] as const))(
  "a module may have: %s",
  (_what, _file, _text, outcome, index) => {
    expect(outcomes[index]).toEqual(outcome);
  },
);
