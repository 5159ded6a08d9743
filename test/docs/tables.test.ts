import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { expect, it } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { settingKeys } from "../../src/cli/config.ts";
import { popsSchema } from "../../src/pops/options.ts";
import { codes, read, root, rows, section } from "./markdown.ts";

const packageFile = z
  .object({ dependencies: z.record(z.string(), z.string()), devDependencies: z.record(z.string(), z.string()) })
  .parse(JSON.parse(readFileSync(`${root}package.json`, "utf8")));

it.each([
  ["Dependencies", packageFile.dependencies],
  ["Development", packageFile.devDependencies],
])("docs/dependencies.md says why each of package.json is there: %s", (heading, listed) => {
  const text = read("docs/dependencies.md").replace(/^# .*\n/, "");
  const table = rows(section(text, heading), "package", "why");
  expect(table.flatMap(([name]) => codes(name)).sort()).toEqual(Object.keys(listed).sort());
  expect(table.filter(([, why]) => why === "")).toEqual([]);
});

/** Values at dotted keys. */
function valuesOf(settings: unknown, path: string): [string, unknown][] {
  if (typeof settings !== "object" || settings === null) return [[path, settings]];
  return Object.entries(settings).flatMap(([name, inner]) => valuesOf(inner, `${path}.${name}`));
}

it("docs/pops.md has every setting of PoPS with its default and its value under --preset paper", () => {
  const required = { objective: 0, lowerBound: 0 };
  const presets = z
    .object({ paper: z.object({ pops: z.record(z.string(), z.unknown()) }) })
    .parse(parse(readFileSync(`${root}presets/shared.yaml`, "utf8")));
  const defaults = valuesOf(popsSchema.parse(required), "pops");
  const paper = new Map(valuesOf(popsSchema.parse({ ...required, ...presets.paper.pops }), "pops"));
  const expected = defaults
    .filter(([key]) => !Object.keys(required).includes(key.replace("pops.", "")))
    .map(([key, value]) => [key, String(value), String(paper.get(key))]);
  const table = rows(section(read("docs/pops.md"), "Deviations"), "setting", "original", "default", "paper");
  const documented = table.map(([setting, , value, inPaper]) => [codes(setting)[0], value, inPaper]);
  expect(documented.sort()).toEqual(expected.sort());
});

it("docs/pops.md names only settings that exist", () => {
  const named = [...read("docs/pops.md").matchAll(/`((?:pops|teacher)\.[\w.]+)`/g)].map(([, key]) => key ?? "");
  expect(named.length).toBeGreaterThan(20);
  expect(named.filter((key) => !settingKeys().has(key))).toEqual([]);
});

it("docs/pops.md answers all 22 defects of the original", () => {
  const table = rows(section(read("docs/pops.md"), "The defects of the original"), "", "defect", "here");
  expect(table.map(([number]) => Number(number))).toEqual(Array.from({ length: 22 }, (_, i) => i + 1));
  expect(table.filter(([, , answer]) => answer === "")).toEqual([]);
});

/** Who may import whom, as the linter of imports has it: the allowed folders stand in the pattern of what is not forbidden. */
function importRules(): Map<string, string[]> {
  const rule = z.object({ name: z.string(), to: z.object({ pathNot: z.string().optional() }) });
  const config: unknown = createRequire(import.meta.url)(`${root}.dependency-cruiser.cjs`);
  const { forbidden } = z.object({ forbidden: z.array(rule) }).parse(config);
  const house = forbidden.filter(({ name }) => name.startsWith("house-"));
  return new Map(
    house.map(({ name, to }) => [name.replace("house-", ""), /\((.*)\)/.exec(to.pathNot ?? "")?.[1]?.split("|") ?? []]),
  );
}

it("docs/architecture.md states the import rules that are checked", () => {
  const everyone = ["errors", "plain", "shape", "files", "memory", "crc32c", "safetensors", "seal"];
  const table = rows(section(read("docs/architecture.md"), "The house"), "part of `src`");
  const documented = table.map(([part, , allowed]) => {
    const [name = ""] = codes(part);
    return [name, ...(allowed === "everything" ? [".*"] : codes(allowed)).sort()];
  });
  const checked = [...importRules()].map(([name, allowed]) => [
    name,
    ...allowed.filter((other) => other !== name && !everyone.includes(other)).sort(),
  ]);
  expect(documented.sort()).toEqual(checked.sort());
});
