import { spawnSync } from "node:child_process";
import { join } from "node:path";
import fc from "fast-check";
import { expect, it } from "vitest";
import { printable, shellWord } from "../../src/cli/terminal.ts";
import { command, temporaryFolder } from "./fixtures/pops.ts";
import { tiny } from "./fixtures/tiny.ts";

it("prints any text on one line without control characters, 1,000 characters of it at most", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 3000 }), (text) => {
      const printed = printable(text);
      expect(printed).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u);
      expect(printed.length).toBeLessThan(1000 * "\\u{10ffff}".length + 40);
    }),
  );
});

it("leaves ordinary text of any language alone", () => {
  expect(printable("Größe: 42 µs, 模型 ✓")).toBe("Größe: 42 µs, 模型 ✓");
});

it("joins lines, and shows what is hidden", () => {
  expect(printable("a\n  b\r\nc\u001b[31m\u200b")).toBe("a b c\\u{1b}[31m\\u{200b}");
});

it("quotes a path for the shell only when it must", () => {
  expect(shellWord("runs/CartPole-v1-1")).toBe("runs/CartPole-v1-1");
  expect(shellWord("it's here")).toBe("'it'\\''s here'");
});

/** What `pops` writes in a terminal, by util-linux's script(1). */
function inTerminal(parameters: readonly string[], environment: Record<string, string> = {}): string {
  const line = [...command, ...parameters].map(shellWord).join(" ");
  const { stdout, status } = spawnSync("script", ["-qec", line, "/dev/null"], {
    encoding: "utf8",
    env: { PATH: process.env["PATH"] ?? "", TERM: "xterm-256color", ...environment },
  });
  expect(status).toBe(0);
  return stdout;
}

const hasScript = spawnSync("script", ["--version"], { encoding: "utf8" }).status === 0;

it.skipIf(!hasScript)(
  "shows a live line with progress in a terminal, and removes it (needs util-linux's script)",
  () => {
    const output = inTerminal(["train", "CartPole-v1", ...tiny(), "--out", join(temporaryFolder(), "run")]);
    expect(output).toMatch(/ {2}█*░+ +\d+ % step \d+ {2}best /);
    expect(output).toContain("\u001b[32m✓\u001b[39m");
    // What stands on the screen at the end: every line after its last erasure.
    const screen = output.split("\n").map((line) => line.split("\r\u001b[2K").at(-1));
    expect(screen.join("\n")).not.toContain("░");
  },
);

it.skipIf(!hasScript)("shows no colours in a terminal with NO_COLOR (needs util-linux's script)", () => {
  const output = inTerminal(["train", "CartPole-v1", ...tiny(), "--out", join(temporaryFolder(), "run")], {
    NO_COLOR: "1",
  });
  expect(output.replaceAll("\u001b[2K", "")).not.toContain("\u001b");
});

it("prints no colours into a pipe, not even where CI or FORCE_COLOR asks for them", () => {
  const [program, ...before] = command;
  const { stderr } = spawnSync(program, [...before, "run", "Nowhere-v0"], {
    encoding: "utf8",
    env: { ...process.env, CI: "true", FORCE_COLOR: "1" },
  });
  expect(stderr).toMatch(/^pops: environment: there is no environment "Nowhere-v0"; .*\n$/);
});
