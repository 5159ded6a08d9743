import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { FileError } from "../../src/errors.ts";
import { AppendLog } from "../../src/run/log.ts";
import { temporaryFolder } from "./fixtures/child.ts";

it("appends text and bytes behind what is there, and sync returns the length in bytes", () => {
  const path = join(temporaryFolder(), "log");
  writeFileSync(path, "one\n");
  const log = new AppendLog(path);
  log.append("zwölf\n");
  log.append(Uint8Array.of(65, 10));
  expect(log.sync()).toBe(4 + 7 + 2);
  expect(readFileSync(path, "utf8")).toBe("one\nzwölf\nA\n");
  log.close();
});

it("goes on behind the place where it was truncated", () => {
  const path = join(temporaryFolder(), "log");
  const log = new AppendLog(path);
  log.append("kept\nlost\nto");
  log.truncate(5);
  log.append("new\n");
  expect(log.sync()).toBe(9);
  expect(readFileSync(path, "utf8")).toBe("kept\nnew\n");
  log.close();
});

it("refuses to be truncated to more than it has", () => {
  const path = join(temporaryFolder(), "log");
  const log = new AppendLog(path);
  log.append("1234");
  expect(() => {
    log.truncate(5);
  }).toThrow("is 4 bytes long, but the checkpoint was taken at 5");
  log.close();
});

it("refuses a path that cannot be opened and names it", () => {
  const path = join(temporaryFolder(), "missing", "log");
  expect(() => new AppendLog(path)).toThrow(FileError);
  expect(() => new AppendLog(path)).toThrow(path);
});
