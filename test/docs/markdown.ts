import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../../", import.meta.url));

/** The project's documents, by path from its root. */
export const documents: readonly string[] = [
  ...["README.md", "CONTRIBUTING.md", "CHANGELOG.md"],
  ...readdirSync(`${root}docs`)
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`),
];

export function read(path: string): string {
  return readFileSync(`${root}${path}`, "utf8");
}

/** Text under a heading, up to the next heading of the same or a higher level. Comments of code are no headings. */
export function section(text: string, heading: string): string {
  const lines = text.split("\n");
  let inCode = false;
  const levels = lines.map((line) => {
    if (line.startsWith("```")) inCode = !inCode;
    return inCode ? 0 : levelOf(line);
  });
  const start = lines.findIndex((line) => /^#+ /.test(line) && titleOf(line) === heading);
  if (start < 0) throw new Error(`there is no heading "${heading}"`);
  const level = levelOf(lines[start] ?? "");
  const length = levels.slice(start + 1).findIndex((other) => other > 0 && other <= level);
  return lines.slice(start + 1, length < 0 ? undefined : start + 1 + length).join("\n");
}

const levelOf = (line: string): number => /^#+(?= )/.exec(line)?.[0].length ?? 0;
const titleOf = (line: string): string => line.replace(/^#+ /, "").replaceAll("`", "");

/** Titles of all headings, outside of code. */
export function headings(text: string): string[] {
  return withoutCode(text)
    .split("\n")
    .filter((line) => levelOf(line) > 0)
    .map(titleOf);
}

/** Rows of every table whose header begins with these cells, the header and its rule left out. */
export function rows(text: string, ...header: string[]): string[][] {
  const tables = text.split(/\n(?!\|)/).map((block) => block.split("\n").filter((line) => line.startsWith("|")));
  const found = tables.filter(([first]) => header.every((cell, column) => cellsOf(first ?? "")[column] === cell));
  return found.flatMap((table) => table.slice(2).map(cellsOf));
}

const cellsOf = (line: string): string[] =>
  line
    .replace(/^\||\|$/g, "")
    .split("|")
    .map((cell) => cell.trim());

/** What stands in backticks in a cell. */
export function codes(cell: string | undefined): string[] {
  return [...(cell ?? "").matchAll(/`([^`]+)`/g)].map(([, code]) => code ?? "");
}

/** Fenced blocks of a language. */
export function blocks(text: string, language: string): string[] {
  return [...text.matchAll(/^```(\w*)\n(.*?)^```$/gms)].flatMap(([, kind, content]) =>
    kind === language && content !== undefined ? [content] : [],
  );
}

/** The text without fenced blocks. */
export function withoutCode(text: string): string {
  return text.replace(/^```.*?^```$/gms, "");
}
