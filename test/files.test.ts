import { spawnSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { FileError } from "../src/errors.ts";
import { readBounded, writeAtomically } from "../src/files.ts";

const root = mkdtempSync(join(tmpdir(), "pops-files-"));
afterAll(() => {
  rmSync(root, { recursive: true });
});

let folders = 0;
function folder(): string {
  folders += 1;
  const path = join(root, String(folders));
  mkdirSync(path);
  return path;
}

it("reads what was written, over an older file", () => {
  const path = join(folder(), "a.bin");
  writeAtomically(path, Buffer.from("older and longer"));
  writeAtomically(path, Uint8Array.of(1, 2, 3));
  expect(readBounded(path, 3)).toEqual(Uint8Array.of(1, 2, 3));
});

it("leaves nothing beside the file", () => {
  const path = folder();
  writeAtomically(join(path, "a.bin"), new Uint8Array(100_000));
  expect(readdirSync(path)).toEqual(["a.bin"]);
});

it("writes and reads an empty file", () => {
  const path = join(folder(), "empty");
  writeAtomically(path, new Uint8Array(0));
  expect(readBounded(path, 0)).toHaveLength(0);
});

it("refuses a file over the limit without reading it", () => {
  const path = join(folder(), "sparse");
  writeFileSync(path, "");
  // 1 TiB that takes no room on the disk and would not fit in memory.
  truncateSync(path, 2 ** 40);
  expect(() => readBounded(path, 2 ** 30)).toThrow("holds 1099511627776 bytes, at most 1073741824 are read");
});

it.each([
  ["a missing file", "missing", "no such file"],
  ["a folder", ".", "not a regular file"],
  ["a link in circles", "loop", "cannot be read"],
])("refuses to read %s and names it", (_name, name, message) => {
  const inside = folder();
  symlinkSync("loop", join(inside, "loop"));
  const path = join(inside, name);
  expect(() => readBounded(path, 10)).toThrow(FileError);
  expect(() => readBounded(path, 10)).toThrow(`${path}: `);
  expect(() => readBounded(path, 10)).toThrow(message);
});

it("refuses a device that never ends", () => {
  expect(() => readBounded("/dev/zero", 10)).toThrow(FileError);
});

it("refuses to write into a folder that does not exist", () => {
  const path = join(folder(), "missing", "a.bin");
  expect(() => {
    writeAtomically(path, new Uint8Array(1));
  }).toThrow(new FileError(path, "cannot be written: no such file or folder"));
});

it("refuses to replace a folder and leaves no temporary file", () => {
  const inside = folder();
  mkdirSync(join(inside, "taken"));
  expect(() => {
    writeAtomically(join(inside, "taken"), new Uint8Array(1));
  }).toThrow(FileError);
  expect(readdirSync(inside)).toEqual(["taken"]);
});

const limited = spawnSync("bash", ["-c", "ulimit -f 64"]).status === 0;

it.skipIf(!limited)("keeps the former content when there is no room for the new (needs bash)", () => {
  const inside = folder();
  const path = join(inside, "a.bin");
  writeAtomically(path, Buffer.from("former"));
  const program = `
    import { writeAtomically } from ${JSON.stringify(new URL("../src/files.ts", import.meta.url).href)};
    try {
      writeAtomically(${JSON.stringify(path)}, new Uint8Array(1_000_000));
    } catch (error) {
      process.stdout.write(error.name);
    }`;
  // The limit on file sizes, 64 KiB here, fails a write half way as a full disk does.
  const { stdout } = spawnSync(
    "bash",
    ["-c", 'ulimit -f 64; exec node --import tsx --input-type=module -e "$0"', program],
    {
      encoding: "utf8",
      env: { ...process.env, TSX_DISABLE_CACHE: "1" },
    },
  );
  expect(stdout).toBe("FileError");
  expect(readFileSync(path, "utf8")).toBe("former");
  expect(readdirSync(inside)).toEqual(["a.bin"]);
});
