import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { File } from "h5wasm";
import { afterAll, expect, it } from "vitest";
import { FileError } from "../../src/errors.ts";
import type { Recorded } from "../../src/observations/arrays.ts";
import { Hdf5Reader, readHdf5 } from "../../src/observations/hdf5.ts";
import { hdf5Of } from "./fixtures/writers.ts";

const reader = new Hdf5Reader();
afterAll(() => reader.close());

const read = async (fill: (file: File) => void, key?: string): Promise<Recorded> =>
  reader.read(await hdf5Of(fill), "log.hdf5", key);
const refusal = async (fill: (file: File) => void, key?: string): Promise<string> => {
  const error: unknown = await read(fill, key).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(FileError);
  return (error as FileError).message;
};
const numbers = (length: number): Float32Array => Float32Array.from({ length }, (_, i) => i);

it("reads arrays side by side, as D4RL has them, compressed or not", async () => {
  const { shape, observations, episodes } = await read((file) => {
    file.create_dataset({
      name: "observations",
      data: numbers(12),
      shape: [6, 2],
      chunks: [2, 2],
      compression: "gzip",
      compression_opts: 4,
    });
    file.create_dataset({ name: "actions", data: numbers(6), shape: [6, 1] });
    file.create_dataset({ name: "terminals", data: Int8Array.of(0, 1, 0, 0, 0, 0) });
    file.create_dataset({ name: "timeouts", data: Int8Array.of(0, 0, 0, 1, 0, 0) });
  });
  expect(shape).toEqual([2]);
  expect(observations).toEqual(numbers(12));
  expect(episodes).toEqual(Int32Array.of(0, 0, 1, 1, 2, 2));
});

it("reads Minari's groups in the order of their numbers, without the last observation of each, on which nobody acts", async () => {
  const { shape, observations, episodes } = await read((file) => {
    // An episode that ended before it began has nothing to act on.
    file.create_group("episode_3").create_dataset({ name: "observations", data: numbers(2), shape: [1, 2] });
    for (const [episode, first] of [
      [10, 100],
      [2, 50],
    ] as const) {
      const group = file.create_group(`episode_${episode}`);
      const data = Float64Array.from({ length: 6 }, (_, i) => first + i);
      group.create_dataset({ name: "observations", data, shape: [3, 2] });
      group.create_dataset({ name: "actions", data: Int32Array.of(0, 1) });
    }
  });
  expect(shape).toEqual([2]);
  expect([...observations]).toEqual([50, 51, 52, 53, 100, 101, 102, 103]);
  expect([...(episodes ?? [])]).toEqual([0, 0, 1, 1]);
});

it("reads the array that a key names, in a group too", async () => {
  const nested = (file: File): void => {
    file.create_group("data").create_dataset({ name: "states", data: numbers(6), shape: [3, 2] });
  };
  expect((await read(nested, "data/states")).observations).toEqual(numbers(6));
  const dictionary = (file: File): void => {
    const group = file.create_group("episode_0").create_group("observations");
    group.create_dataset({ name: "state", data: numbers(6), shape: [3, 2] });
  };
  expect((await read(dictionary, "observations/state")).observations).toEqual(numbers(4));
  expect(await refusal(dictionary)).toBe(
    'log.hdf5: group episode_0 has no array "observations": name one with --observations-key',
  );
});

it("reads more than is copied out of the library at once", async () => {
  // 80 MB of one value but for the rows on either side of the first copy's end.
  const data = new Float32Array(20_000_000).fill(0.5);
  const edge = 2 ** 24;
  data.set([1, 2, 3, 4], edge - 2);
  const { observations } = await read((file) => {
    file.create_dataset({ name: "obs", data, shape: [10_000_000, 2] });
  });
  expect(observations).toHaveLength(data.length);
  expect([...observations.subarray(edge - 3, edge + 3)]).toEqual([0.5, 1, 2, 3, 4, 0.5]);
  expect(Buffer.from(observations.buffer).equals(Buffer.from(data.buffer))).toBe(true);
});

it.each<[what: string, fill: (file: File) => void, message: string]>([
  ["a file without arrays", () => undefined, "has no array of observations"],
  [
    "text",
    (file) => file.create_dataset({ name: "obs", data: ["a", "b"] }),
    'array "obs" holds no numbers that are read',
  ],
  [
    "an array that is far larger than its file",
    (file) => {
      const dataset = file.create_dataset({
        name: "obs",
        data: numbers(4),
        shape: [1, 4],
        maxshape: [null, 4],
        chunks: [1, 4],
      });
      dataset.resize([2 ** 40, 4]);
    },
    'array "obs" of shape [1099511627776, 4] has more than the 268435456 numbers that are read',
  ],
  [
    "links into other files, which are followed nowhere",
    (file) => file.create_external_link("/etc/passwd", "/obs", "obs"),
    "has no array of observations",
  ],
  [
    "episodes in other files",
    (file) => file.create_external_link("additional_data_0.hdf5", "/episode_0", "episode_0"),
    'group episode_0 has no array "observations" (episodes in other files are not read)',
  ],
  [
    "episodes of different shapes",
    (file) => {
      for (const width of [2, 3]) {
        const group = file.create_group(`episode_${width}`);
        group.create_dataset({ name: "observations", data: numbers(2 * width), shape: [2, width] });
      }
    },
    "group episode_3 has observations of shape [3], others [2]",
  ],
])("refuses %s", async (_, fill, message) => {
  expect(await refusal(fill)).toContain(`log.hdf5: ${message}`);
});

it("refuses what only begins as HDF5 does, and reads on", async () => {
  const whole = await hdf5Of((file) => file.create_dataset({ name: "obs", data: numbers(4), shape: [2, 2] }));
  await expect(reader.read(whole.subarray(0, 100), "log.hdf5")).rejects.toThrow("log.hdf5: cannot be read as HDF5");
  expect((await reader.read(whole, "log.hdf5")).observations).toEqual(numbers(4));
});

it("gives up a file that takes too long, and reads the next in another thread", async () => {
  const small = await hdf5Of((file) => file.create_dataset({ name: "obs", data: numbers(4), shape: [2, 2] }));
  // So many groups take longer than no time.
  const many = await hdf5Of((file) => {
    for (let k = 0; k < 3_000; k++) file.create_group(`episode_${k}`).create_dataset({ name: "obs", data: numbers(2) });
  });
  const hasty = new Hdf5Reader(-many.length / 1e7);
  await expect(hasty.read(many, "log.hdf5")).rejects.toThrow(
    new FileError("log.hdf5", "takes more than 0 seconds: it is damaged, or made to harm"),
  );
  const patient = new Hdf5Reader();
  expect((await patient.read(small, "log.hdf5")).observations).toEqual(numbers(4));
  await hasty.close();
  await patient.close();
});

const python = process.env["POPS_PYTHON"] ?? "python3";
const script = fileURLToPath(new URL("fixtures/write-observations.py", import.meta.url));
const able = (() => {
  try {
    execFileSync(python, ["-c", "import h5py"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
})();

it.skipIf(!able)(
  "reads what h5py wrote: every type and byte order, Minari's and D4RL's form (needs Python with h5py)",
  async () => {
    const folder = mkdtempSync(join(tmpdir(), "pops-hdf5-"));
    const file = (name: string): Uint8Array => new Uint8Array(readFileSync(join(folder, name)));
    try {
      execFileSync(python, [script, "h5py", folder]);
      const { lengths, acted, ...expected } = JSON.parse(Buffer.from(file("expected.json")).toString()) as Record<
        string,
        number[]
      >;
      for (const [name, values] of Object.entries(expected)) {
        const { observations } = await reader.read(file("types.h5"), "types.h5", name);
        expect([name, [...observations]]).toEqual([name, values]);
      }
      const numbered = lengths?.flatMap((length, episode) => new Array<number>(length).fill(episode));
      for (const name of ["minari.hdf5", "d4rl.hdf5"]) {
        const { observations, episodes } = await readHdf5(file(name), name);
        expect([...observations]).toEqual(acted);
        expect([...(episodes ?? [])]).toEqual(numbered);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
);
