import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, it } from "vitest";
import { FileError, ShapeError } from "../src/errors.ts";
import {
  decodeSafetensors,
  encodeSafetensors,
  halfToNumber,
  numberToHalf,
  type Safetensor,
} from "../src/safetensors.ts";

/** A file with any header text and `data` bytes of zeros. */
function fileOf(header: string, data = 0, headerBytes = BigInt(Buffer.byteLength(header))): Uint8Array {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(headerBytes);
  return Buffer.concat([length, Buffer.from(header), Buffer.alloc(data)]);
}

function tensor(shape: unknown, offsets: unknown, dtype = "F32"): string {
  return JSON.stringify({ dtype, shape, data_offsets: offsets });
}

const arrays = fc.oneof(
  fc.float32Array({ maxLength: 9 }),
  fc.float64Array({ maxLength: 9 }),
  fc.int32Array({ maxLength: 9 }),
  fc.uint32Array({ maxLength: 9 }),
  fc.uint8Array({ maxLength: 9 }),
);
const names = fc.oneof(
  fc.string({ unit: "grapheme" }),
  fc.constantFrom("__proto__", "constructor", "0", "10", '"', "\\"),
);

it("gives back tensors and metadata with every bit", () => {
  const entries = fc.uniqueArray(fc.tuple(names, arrays), { selector: ([name]) => name, maxLength: 6 });
  fc.assert(
    fc.property(entries, fc.dictionary(names, names), (list, metadata) => {
      const tensors = new Map(
        list.map(([name, data]): [string, Safetensor] => [name, { shape: [1, data.length], data }]),
      );
      const read = decodeSafetensors(encodeSafetensors(tensors, metadata), "x");
      expect(Object.entries(read.metadata).sort()).toEqual(Object.entries(metadata).sort());
      expect(read.tensors.size).toBe(tensors.size);
      for (const [name, { shape, data }] of tensors) {
        const found = read.tensors.get(name);
        expect(found?.shape).toEqual(shape);
        expect(found?.data.constructor).toBe(data.constructor);
        expect(Buffer.from(found!.data.buffer)).toEqual(Buffer.from(data.buffer, data.byteOffset, data.byteLength));
      }
    }),
  );
});

it("gives tensors back in the order of the file", () => {
  const tensors = new Map(["b", "10", "a", "2"].map((name, i) => [name, { shape: [1], data: Float32Array.of(i) }]));
  expect([...decodeSafetensors(encodeSafetensors(tensors, {}), "x").tensors.keys()]).toEqual(["b", "10", "a", "2"]);
});

it("pads the header with spaces to a multiple of 8", () => {
  for (const text of ["", "1", "12", "123", "1234", "12345", "123456", "1234567"]) {
    const bytes = encodeSafetensors(new Map(), { text });
    expect(bytes.length % 8).toBe(0);
    expect(Buffer.from(bytes.subarray(8)).toString()).toMatch(/^\{.*\} {0,7}$/);
  }
});

it("reads a file that stands unaligned in a Buffer", () => {
  const bytes = encodeSafetensors(new Map([["a", { shape: [2], data: Float64Array.of(1.5, -2) }]]), {});
  const shifted = Buffer.alloc(bytes.length + 3);
  shifted.set(bytes, 3);
  expect(decodeSafetensors(shifted.subarray(3), "x").tensors.get("a")?.data).toEqual(Float64Array.of(1.5, -2));
});

it("widens half precision: normal, subnormal, zeros, infinities, NaN", () => {
  const halves = [0x3c00, 0xc000, 0x3555, 0x7bff, 0x0001, 0x03ff, 0x0400, 0x0000, 0x8000, 0x7c00, 0xfc00, 0x7e00];
  const bytes = fileOf(`{"h":${tensor([halves.length], [0, 2 * halves.length], "F16")}}`, 2 * halves.length);
  Buffer.from(Uint16Array.from(halves).buffer).copy(bytes, bytes.length - 2 * halves.length);
  const read = [
    1,
    -2,
    0.333251953125,
    65504,
    2 ** -24,
    1023 * 2 ** -24,
    2 ** -14,
    0,
    -0,
    Infinity,
    -Infinity,
    Number.NaN,
  ];
  expect(decodeSafetensors(bytes, "x").tensors.get("h")?.data).toEqual(Float32Array.from(read));
});

it("reads scalars and tensors without elements", () => {
  const bytes = fileOf(`{"s":${tensor([], [0, 4])},"e":${tensor([0, 5], [4, 4])}}`, 4);
  const { tensors } = decodeSafetensors(bytes, "x");
  expect([...tensors.values()].map(({ shape, data }) => [shape, data.length])).toEqual([
    [[], 1],
    [[0, 5], 0],
  ]);
});

const one = tensor([1], [0, 4]);

it.each([
  ["a file of fewer than 8 bytes", new Uint8Array(7), "holds 7 bytes"],
  ["a header over 100 MB", fileOf("{}", 0, 100_000_001n), "at most 100000000"],
  ["a header length beyond 2^63", fileOf("{}", 0, 2n ** 64n - 1n), "at most 100000000"],
  ["a header longer than the file", fileOf("{}", 0, 3n), "header of 3 bytes, but 2 follow"],
  ["an empty header", fileOf(""), "does not begin with {"],
  ["a header that begins with a space", fileOf(" {}"), "does not begin with {"],
  ["a header that is no JSON", fileOf("{,}"), "not JSON"],
  ["a header that is not UTF-8", Buffer.concat([fileOf('{"', 0, 5n), Buffer.from([0xff, 0x22, 0x7d])]), "not JSON"],
  ["JSON nested very deeply", fileOf(`{"a":${"[".repeat(1e6)}`), "not JSON"],
  ["a tensor named twice", fileOf(`{"a":${one},"a":${one}}`, 4), 'the key "a" twice'],
  ["a name twice, once escaped", fileOf(`{"a":${one},"\\u0061" : ${one}}`, 4), 'the key "\\u0061" twice'],
  [
    "a field twice",
    fileOf('{"a":{"dtype":"F32","shape":[2],"shape":[1],"data_offsets":[0,4]}}', 4),
    'the key "shape" twice',
  ],
  ["metadata twice", fileOf('{"__metadata__":{},"__metadata__":{"a":"b"}}'), 'the key "__metadata__" twice'],
  ["metadata that is no object", fileOf('{"__metadata__":["a"]}'), "__metadata__ is not an object"],
  ["metadata of null", fileOf('{"__metadata__":null}'), "__metadata__ is not an object"],
  ["metadata that is no string", fileOf('{"__metadata__":{"a":1}}'), 'metadata "a" is not a string'],
  ["a tensor that is no object", fileOf('{"a":1}'), 'tensor "a": expected dtype'],
  [
    "a field that nobody knows",
    fileOf('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"b":1}}', 4),
    'tensor "a"',
  ],
  ["an unknown dtype", fileOf(`{"a":${tensor([1], [0, 4], "F4")}}`, 4), "dtype F4 is not supported"],
  [
    "a dtype of the prototype",
    fileOf(`{"a":${tensor([1], [0, 4], "toString")}}`, 4),
    "dtype toString is not supported",
  ],
  ["a fraction in a shape", fileOf(`{"a":${tensor([1.5], [0, 6])}}`, 6), 'tensor "a"'],
  ["a negative dimension", fileOf(`{"a":${tensor([-1, -1], [0, 4])}}`, 4), 'tensor "a"'],
  ["a dimension beyond 2^53", fileOf(`{"a":${tensor([2 ** 53], [0, 4])}}`, 4), 'tensor "a"'],
  [
    "a product of dimensions that overflows",
    fileOf(`{"a":${tensor([2 ** 52, 4, 0], [0, 0])}}`),
    "needs Infinity bytes",
  ],
  ["fewer bytes than the shape needs", fileOf(`{"a":${tensor([2], [0, 4])}}`, 4), "needs 8 bytes"],
  ["more bytes than the shape needs", fileOf(`{"a":${tensor([1], [0, 8])}}`, 8), "needs 4 bytes"],
  ["offsets the wrong way round", fileOf(`{"a":${tensor([1], [4, 0])}}`, 4), "needs 4 bytes"],
  ["negative offsets", fileOf(`{"a":${tensor([1], [-4, 0])}}`, 4), 'tensor "a"'],
  ["three offsets", fileOf(`{"a":${tensor([1], [0, 4, 4])}}`, 4), 'tensor "a"'],
  ["an offset beyond the file", fileOf(`{"a":${tensor([2], [0, 8])}}`, 4), "ends at 8, but the file holds 4"],
  ["overlap", fileOf(`{"a":${tensor([2], [0, 8])},"b":${tensor([1], [4, 8])}}`, 8), "begins at 4, expected 8"],
  ["two tensors at one place", fileOf(`{"a":${one},"b":${one}}`, 4), "begins at 0, expected 4"],
  ["a hole in front", fileOf(`{"a":${tensor([1], [4, 8])}}`, 8), "begins at 4, expected 0"],
  ["a hole between", fileOf(`{"a":${one},"b":${tensor([1], [8, 12])}}`, 12), "begins at 8, expected 4"],
  ["bytes behind the last tensor", fileOf(`{"a":${one}}`, 5), "1 bytes belong to no tensor"],
  ["data without tensors", fileOf("{}", 1), "1 bytes belong to no tensor"],
])("refuses %s", (_name, bytes, message) => {
  expect(() => decodeSafetensors(bytes, "evil.safetensors")).toThrow(FileError);
  expect(() => decodeSafetensors(bytes, "evil.safetensors")).toThrow("evil.safetensors: ");
  expect(() => decodeSafetensors(bytes, "evil.safetensors")).toThrow(message);
});

it("takes a tensor named __proto__ as any other", () => {
  const { tensors, metadata } = decodeSafetensors(
    fileOf(`{"__metadata__":{"__proto__":"x"},"__proto__":${one}}`, 4),
    "x",
  );
  expect([...tensors.keys()]).toEqual(["__proto__"]);
  expect(Object.entries(metadata)).toEqual([["__proto__", "x"]]);
});

it.each([
  ["a shape that does not fit", "a", [3]],
  ["a shape that overflows", "a", [2 ** 40, 2 ** 40]],
  ["the name of the metadata", "__metadata__", [2]],
])("refuses to write %s", (_name, name, shape) => {
  expect(() => encodeSafetensors(new Map([[name, { shape, data: Float32Array.of(1, 2) }]]), {})).toThrow(ShapeError);
});

const { POPS_PYTHON: python = "python3" } = process.env;
const hasSafetensors = spawnSync(python, ["-c", "import safetensors.numpy"]).status === 0;

it.skipIf(!hasSafetensors)("is read by the reference implementation (needs Python with safetensors)", () => {
  const folder = mkdtempSync(join(tmpdir(), "pops-safetensors-"));
  try {
    const path = join(folder, "a.safetensors");
    const tensors = new Map<string, Safetensor>([
      ["bytes", { shape: [3], data: Uint8Array.of(1, 2, 3) }],
      ["weight", { shape: [2, 2], data: Float32Array.of(0.5, -1, 2, 1e-30) }],
      ["counts", { shape: [], data: Int32Array.of(-7) }],
    ]);
    writeFileSync(path, encodeSafetensors(tensors, { note: 'über "all"' }));
    const program = `
import json, sys
from safetensors import safe_open
with safe_open(sys.argv[1], "np") as file:
    tensors = {name: [str(file.get_tensor(name).dtype), list(file.get_tensor(name).shape), file.get_tensor(name).tolist()] for name in file.keys()}
    print(json.dumps([tensors, file.metadata()]))`;
    const { stdout } = spawnSync(python, ["-c", program, path], { encoding: "utf8" });
    expect(JSON.parse(stdout)).toEqual([
      {
        bytes: ["uint8", [3], [1, 2, 3]],
        weight: [
          "float32",
          [2, 2],
          [
            [0.5, -1],
            [2, Math.fround(1e-30)],
          ],
        ],
        counts: ["int32", [], -7],
      },
      { note: 'über "all"' },
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

it("rounds to half precision as IEEE 754 does", () => {
  // Computed by numpy's float16.
  const rounded = [
    [1 / 3, 0x3555],
    [-2.5, 0xc100],
    [2049, 0x6800],
    [2051, 0x6802],
    [65_519, 0x7bff],
    [65_520, 0x7c00],
    [2 ** -14 - 2 ** -26, 0x0400],
    [2 ** -24, 0x0001],
    [2 ** -25, 0x0000],
    [1.5 * 2 ** -24, 0x0002],
    [-0, 0x8000],
    [Number.NaN, 0x7e00],
  ] as const;
  expect(rounded.map(([value]) => numberToHalf(value))).toEqual(rounded.map(([, bits]) => bits));
});

it("keeps every half-precision number", () => {
  const all = Array.from({ length: 2 ** 16 }, (_, bits) => bits).filter((bits) => !Number.isNaN(halfToNumber(bits)));
  expect(all.map((bits) => numberToHalf(halfToNumber(bits)))).toEqual(all);
});
