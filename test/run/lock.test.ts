import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { FileError, LockedError } from "../../src/errors.ts";
import { lock } from "../../src/run/lock.ts";
import { start, temporaryFolder } from "./fixtures/child.ts";

async function holder(path: string) {
  const child = start("take-lock.ts", path);
  await child.line();
  child.process.stdin.write("go\n");
  expect(await child.line()).toBe("held");
  return child;
}

it("refuses a second process and names the first", async () => {
  const path = join(temporaryFolder(), "run.lock");
  const child = await holder(path);
  expect(() => lock(path)).toThrow(LockedError);
  expect(() => lock(path)).toThrow(`process ${child.process.pid} `);
});

it("refuses the process that holds it", () => {
  const path = join(temporaryFolder(), "run.lock");
  const unlock = lock(path);
  expect(() => lock(path)).toThrow(LockedError);
  unlock();
});

it.skipIf(process.platform === "win32")("does not follow a link to a file elsewhere (needs symbolic links)", () => {
  const folder = temporaryFolder();
  const [elsewhere, path] = [join(folder, "elsewhere"), join(folder, "run.lock")];
  writeFileSync(elsewhere, "mine");
  symlinkSync(elsewhere, path);
  expect(() => lock(path)).toThrow(FileError);
  expect(readFileSync(elsewhere, "utf8")).toBe("mine");
});

it("is free again and leaves no file when it is given back", () => {
  const path = join(temporaryFolder(), "run.lock");
  lock(path)();
  expect(existsSync(path)).toBe(false);
  lock(path)();
});

it("is given back in silence where the file can no longer be deleted", () => {
  const path = join(temporaryFolder(), "run.lock");
  const unlock = lock(path);
  rmSync(path);
  mkdirSync(path);
  expect(unlock).not.toThrow();
});

it("takes over from a process that was killed, after having been refused before", async () => {
  const path = join(temporaryFolder(), "run.lock");
  const child = await holder(path);
  expect(() => lock(path)).toThrow(LockedError);
  child.process.kill("SIGKILL");
  await child.ended;
  lock(path)();
});

it("gives a dead process's lock to exactly one of four that want it at once", async () => {
  const path = join(temporaryFolder(), "run.lock");
  const dead = await holder(path);
  dead.process.kill("SIGKILL");
  await dead.ended;
  const children = Array.from({ length: 4 }, () => start("take-lock.ts", path));
  await Promise.all(children.map((child) => child.line()));
  for (const child of children) child.process.stdin.write("go\n");
  const answers = await Promise.all(children.map((child) => child.line()));
  expect(answers.toSorted()).toEqual(["held", "refused", "refused", "refused"]);
});

it.skipIf(process.platform !== "linux")(
  "takes over from an earlier process with the pid of a living one (needs Linux)",
  () => {
    const path = join(temporaryFolder(), "run.lock");
    writeFileSync(path, `${JSON.stringify({ pid: process.pid, started: "1", id: "earlier" })}\n`);
    lock(path)();
  },
);

it("reads past a torn line", () => {
  const path = join(temporaryFolder(), "run.lock");
  writeFileSync(path, '\n{"pid":1,"star');
  const unlock = lock(path);
  expect(readFileSync(path, "utf8")).toContain(`"pid":${process.pid}`);
  unlock();
});
