import { afterAll, expect, it } from "vitest";
import { FileError } from "../../src/errors.ts";
import { ZipArchive } from "../../src/importing/zip.ts";
import { type Recorded, recordedIn } from "../../src/observations/arrays.ts";
import { Hdf5Reader } from "../../src/observations/hdf5.ts";
import { npyArray, npzArrays } from "../../src/observations/npy.ts";
import { tensorsOf } from "../../src/observations/read.ts";
import { readCsv, readJsonl } from "../../src/observations/text.ts";
import { stream } from "../../src/random/pcg64.ts";
import { encodeSafetensors } from "../../src/safetensors.ts";
import { mutate } from "../importing/fixtures/mutate.ts";
import { flags, floats, hdf5Of, npzOf } from "./fixtures/writers.ts";

/** Mutations of each file; `npm run test:long` takes 100,000 of every one. */
const LONG = process.env["POPS_LONG"] === "1";
const TRIALS = LONG ? 100_000 : 10_000;

const values = Float32Array.from({ length: 24 }, (_, i) => Math.sin(i));
const ends = Uint8Array.of(0, 0, 1, 0, 0, 1, 0, 1);
const arrays = { observations: floats([8, 3], values), terminals: flags([8], ends) };

// Of so many some make the library go in circles: less patience than users have.
const hdf5 = new Hdf5Reader(10);
afterAll(() => hdf5.close());

const rows = Array.from({ length: 8 }, (_, row) => [...values.subarray(3 * row, 3 * row + 3)]);

/** Shape, numbers and episodes that fit each other, whatever they are. */
function expectWhole({ shape, observations, episodes }: Recorded): void {
  const width = shape.reduce((product, size) => product * size, 1);
  expect(shape.every((size) => Number.isInteger(size) && size > 0)).toBe(true);
  expect(observations.length % width).toBe(0);
  if (episodes) expect(episodes).toHaveLength(observations.length / width);
}

it.each<
  [
    kind: string,
    forms: number,
    bytes: Uint8Array | Promise<Uint8Array>,
    read: (bytes: Uint8Array) => Recorded | Promise<Recorded>,
  ]
>([
  ["npy", 1, arrays.observations, (bytes) => recordedIn([npyArray(bytes, "obs", "hostile")], undefined, "hostile")],
  [
    "npz",
    2,
    npzOf(arrays),
    (bytes) => recordedIn(npzArrays(new ZipArchive(bytes, "hostile"), "hostile"), undefined, "hostile"),
  ],
  [
    "compressed npz",
    2,
    npzOf(arrays, { deflate: true }),
    (bytes) => recordedIn(npzArrays(new ZipArchive(bytes, "hostile"), "hostile"), undefined, "hostile"),
  ],
  [
    "safetensors",
    1,
    encodeSafetensors(
      new Map([
        ["observations", { shape: [8, 3], data: values }],
        ["terminals", { shape: [8], data: ends }],
      ]),
      {},
    ),
    (bytes) => recordedIn(tensorsOf(bytes, "hostile"), undefined, "hostile"),
  ],
  [
    "JSON lines",
    1,
    Buffer.from(rows.map((row, k) => JSON.stringify({ observation: row, episode: k >> 1 })).join("\n")),
    (bytes) => readJsonl(bytes, "hostile"),
  ],
  [
    "CSV",
    1,
    Buffer.from(["x,y,z,episode", ...rows.map((row, k) => [...row, k >> 1].join(","))].join("\n")),
    (bytes) => readCsv(bytes, "hostile"),
  ],
  [
    "HDF5 of arrays",
    2,
    hdf5Of((file) => {
      file.create_dataset({ name: "observations", data: values, shape: [8, 3], chunks: [4, 3], compression: "gzip" });
      file.create_dataset({ name: "terminals", data: ends });
    }),
    (bytes) => hdf5.read(bytes, "hostile"),
  ],
  [
    "HDF5 of episodes",
    2,
    hdf5Of((file) => {
      for (const episode of [0, 1]) {
        const data = values.subarray(12 * episode, 12 * episode + 12);
        file.create_group(`episode_${episode}`).create_dataset({ name: "observations", data, shape: [4, 3] });
      }
    }),
    (bytes) => hdf5.read(bytes, "hostile"),
  ],
])(
  "reads a mutated file (%s) as one that is whole, or refuses it with a FileError",
  async (kind, forms, written, read) => {
    const bytes = await written;
    const trials = LONG ? TRIALS : TRIALS / forms;
    const random = stream(1, kind);
    expectWhole(await read(bytes));
    let refused = 0;
    for (let trial = 0; trial < trials; trial++) {
      const mutated = mutate(bytes, random);
      try {
        expectWhole(await read(mutated));
      } catch (error) {
        const typed = error instanceof FileError && error.path.startsWith("hostile") && error.message.length < 5000;
        if (!typed) throw error;
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(0.1 * trials);
    expect(refused).toBeLessThan(trials);
  },
  LONG ? 3_600_000 : 600_000,
);

it("has taken less than 2 GiB of memory for all of this", () => {
  expect(process.resourceUsage().maxRSS).toBeLessThan(2 * 1024 * 1024);
});
