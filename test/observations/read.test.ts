import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { FileError, UsageError } from "../../src/errors.ts";
import { readObservations } from "../../src/observations/read.ts";
import { encodeSafetensors } from "../../src/safetensors.ts";
import { flags, floats, hdf5Of, npzOf } from "./fixtures/writers.ts";

const folder = mkdtempSync(join(tmpdir(), "pops-observations-"));
afterAll(() => {
  rmSync(folder, { recursive: true });
});
const written = (name: string, bytes: Uint8Array | string): string => {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
};

const ROWS = 1_000;
const values = Float32Array.from({ length: 2 * ROWS }, (_, i) => i / 4);
const ends = Uint8Array.from({ length: ROWS }, (_, row) => (row % 25 === 24 ? 1 : 0));
const rows = Array.from({ length: ROWS }, (_, row) => [...values.subarray(2 * row, 2 * row + 2)]);
const episode = (row: number): number => Math.floor(row / 25);

it.each<[name: string, bytes: Uint8Array | string | Promise<Uint8Array>]>([
  ["log.npz", npzOf({ observations: floats([ROWS, 2], values), dones: flags([ROWS], ends) }, { deflate: true })],
  [
    "log.safetensors",
    encodeSafetensors(
      new Map([
        ["obs", { shape: [ROWS, 2], data: values }],
        ["terminals", { shape: [ROWS], data: ends }],
      ]),
      {},
    ),
  ],
  [
    "log.hdf5",
    hdf5Of((file) => {
      file.create_dataset({ name: "observations", data: values, shape: [ROWS, 2] });
      file.create_dataset({ name: "terminals", data: ends });
    }),
  ],
  ["log.jsonl", rows.map((row, k) => JSON.stringify({ observation: row, episode: episode(k) })).join("\n")],
  ["log.csv", ["x,y,episode", ...rows.map((row, k) => [...row, episode(k)].join(","))].join("\n")],
])("reads %s: the same observations in the same episodes", async (name, bytes) => {
  const content = await bytes;
  const log = await readObservations(written(name, content));
  expect(log).toEqual({
    shape: [2],
    observations: values,
    by: "episode",
    units: Array.from({ length: 40 }, (_, unit) => Int32Array.from({ length: 25 }, (_, k) => 25 * unit + k)),
    sha256: createHash("sha256").update(content).digest("hex"),
  });
});

it("reads .npy, which knows nothing of episodes", async () => {
  const { by, units, observations } = await readObservations(written("log.npy", floats([ROWS, 2], values)));
  expect([by, units.length]).toEqual(["block", 100]);
  expect(observations).toEqual(values);
});

it("goes by the content where a file is called otherwise", async () => {
  const path = written("log.data", npzOf({ obs: floats([ROWS, 2], values) }));
  expect((await readObservations(path)).observations).toEqual(values);
});

it("reads the array that is named", async () => {
  const path = written(
    "two.npz",
    npzOf({ observations: floats([ROWS, 2], values), next: floats([ROWS, 1], values.subarray(ROWS)) }),
  );
  expect((await readObservations(path, "next")).shape).toEqual([1]);
});

const bad = values.slice();
bad[11] = Number.NaN;
it.each<[what: string, name: string, bytes: Uint8Array | string, message: string]>([
  ["numbers that are not finite", "nan.npy", floats([ROWS, 2], bad), "observation 5 has NaN, expected finite numbers"],
  [
    "numbers beyond float32",
    "large.csv",
    `1e39\n${"1\n".repeat(ROWS)}`,
    "observation 0 has Infinity, expected finite numbers",
  ],
  [
    "too few observations",
    "few.npy",
    floats([999, 2], values.subarray(0, 1998)),
    "holds 999 observations, at least 1000 are needed",
  ],
  [
    "any other file",
    "log.txt",
    "hello",
    "is no file of observations: expected .npz, .npy, .safetensors, .hdf5, .jsonl or .csv",
  ],
  ["an empty file", "empty", "", "is no file of observations"],
  ["a policy's archive", "model.zip", npzOf({}), "has no array of observations"],
])("refuses %s", async (_, name, bytes, message) => {
  const path = written(name, bytes);
  const error: unknown = await readObservations(path).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(FileError);
  expect((error as FileError).message).toContain(`${path}: ${message}`);
});

it("refuses a missing file, and a key where there are no names", async () => {
  await expect(readObservations(join(folder, "none.npz"))).rejects.toThrow(FileError);
  const path = written("keyed.csv", "1\n".repeat(ROWS));
  await expect(readObservations(path, "x")).rejects.toThrow(
    new UsageError("--observations-key", `${path} has no names of arrays to choose from`),
  );
});
