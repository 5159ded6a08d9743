import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, it } from "vitest";
import * as library from "../../src/index.ts";
import { blocks, documents, headings, read, root, withoutCode } from "./markdown.ts";

/** The anchor that hosts of Markdown give a heading. */
const anchorOf = (title: string): string =>
  title
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, "")
    .replaceAll(" ", "-");

it.each(documents)("%s links to files and headings that exist", (path) => {
  const links = [...withoutCode(read(path)).matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link ?? "");
  const broken = links.filter((link) => {
    if (/^https?:/.test(link)) return false;
    const [file = "", anchor] = link.split("#");
    const target = file === "" ? path : join(dirname(path), file);
    if (!existsSync(join(root, target))) return true;
    return anchor !== undefined && !headings(read(target)).map(anchorOf).includes(anchor);
  });
  expect(broken).toEqual([]);
});

it.each(documents)("%s names files of the project that exist", (path) => {
  const named = [...read(path).matchAll(/`((?:src|test|bench|presets|zoo)\/[\w./-]*)`/g)].map(([, file]) => file ?? "");
  expect(named.filter((file) => !existsSync(join(root, file)))).toEqual([]);
});

it("the README's program imports what the library exports", () => {
  const programs = blocks(read("README.md"), "ts");
  const names = programs.flatMap((program) =>
    [...program.matchAll(/import \{([^}]*)\} from "pops-rl"/g)].flatMap(([, list]) => (list ?? "").split(",")),
  );
  expect(names.length).toBeGreaterThan(0);
  expect(names.map((name) => name.trim()).filter((name) => !(name in library))).toEqual([]);
});
