import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { FileError } from "../../src/errors.ts";
import { ZipArchive } from "../../src/importing/zip.ts";
import type { NamedArray } from "../../src/observations/arrays.ts";
import { npyArray, npzArrays } from "../../src/observations/npy.ts";
import { floats, headerOf, npyOf, npzOf } from "./fixtures/writers.ts";

/** Without room for more than a test has: a larger array has to be refused before its numbers are read. */
const valuesOf = ({ shape, read }: NamedArray): number[] => [
  ...read(
    new Float64Array(
      Math.min(
        100,
        shape.reduce((product, size) => product * size, 1),
      ),
    ),
  ),
];
const at = (bytes: Uint8Array): NamedArray => npyArray(bytes, "a", "hostile.npy");

it.each<[code: string, bytes: number[], values: number[]]>([
  ["<f4", [0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0], [1, -2]],
  [">f4", [0x3f, 0x80, 0, 0, 0xc0, 0, 0, 0], [1, -2]],
  ["<f8", [0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0xc0], [1, -2]],
  // 65504, the largest; 2^-24, the smallest; 1/3 as near as it gets.
  ["<f2", [0xff, 0x7b, 0x01, 0x00, 0x55, 0x35], [65504, 2 ** -24, 0.333251953125]],
  [">f2", [0x3c, 0x00, 0xc0, 0x00], [1, -2]],
  ["|u1", [0, 255], [0, 255]],
  ["|i1", [0x80, 0x7f], [-128, 127]],
  ["|b1", [0, 1], [0, 1]],
  ["<i2", [0xfe, 0xff, 1, 1], [-2, 257]],
  [">u2", [0xff, 0xfe, 1, 1], [65534, 257]],
  ["<i4", [0xfe, 0xff, 0xff, 0xff], [-2]],
  ["<u4", [0xfe, 0xff, 0xff, 0xff], [4294967294]],
  [">i8", [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe], [-2]],
  ["<u8", [1, 0, 0, 0, 0, 0, 0x10, 0], [2 ** 52 + 1]],
])("reads numbers of type %s", (code, bytes, values) => {
  expect(valuesOf(at(npyOf(headerOf(code, [values.length]), Uint8Array.from(bytes))))).toEqual(values);
});

it.each([1, 2, 3] as const)("reads version %d of the format", (version) => {
  const array = at(npyOf(headerOf("|u1", [2, 2]), Uint8Array.of(1, 2, 3, 4), version));
  expect([array.shape, array.floating, valuesOf(array)]).toEqual([[2, 2], false, [1, 2, 3, 4]]);
});

it("reads columns first where the header says so", () => {
  // [[[1, 2], [3, 4]], [[5, 6], [7, 8]]], the first index fastest.
  const columns = Uint8Array.of(1, 5, 3, 7, 2, 6, 4, 8);
  expect(valuesOf(at(npyOf(headerOf("|u1", [2, 2, 2], true), columns)))).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  expect(valuesOf(at(npyOf(headerOf("|u1", [2, 3], true), Uint8Array.of(1, 4, 2, 5, 3, 6))))).toEqual([
    1, 2, 3, 4, 5, 6,
  ]);
});

it("reads a scalar, and a header whose entries stand in another order and other quotes", () => {
  expect(at(npyOf(headerOf("<f4", []), new Uint8Array(4))).shape).toEqual([]);
  const array = at(npyOf('{"shape": (2,), "fortran_order": False, "descr": "|u1"}', Uint8Array.of(7, 8)));
  expect(valuesOf(array)).toEqual([7, 8]);
});

const data = new Uint8Array(16);
it.each<[what: string, bytes: Uint8Array, message: string]>([
  [
    "objects, which are pickles",
    npyOf(headerOf("|O", [2]), data),
    'array "a" holds objects, numbers and truth values are read: they are pickles, which could run code',
  ],
  ["structures", npyOf("{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (2,), }", data), "holds structures"],
  ["complex numbers", npyOf(headerOf("<c8", [2]), data), "holds c8"],
  ["long doubles", npyOf(headerOf("<f16", [1]), data), "holds f16"],
  ["text", npyOf(headerOf("<U2", [2]), data), "holds U2"],
  ["too few numbers", npyOf(headerOf("<f4", [5]), data), "has 16 bytes of numbers, its shape needs 20"],
  ["too many numbers", npyOf(headerOf("<f4", [3]), data), "has 16 bytes of numbers, its shape needs 12"],
  ["a shape whose product overflows", npyOf(headerOf("<f4", [2 ** 52, 2 ** 52]), data), "its shape needs"],
  [
    "a size beyond 2^53",
    npyOf("{'descr': '<f4', 'fortran_order': False, 'shape': (9007199254740993, ), }", data),
    "beyond all bounds",
  ],
  ["nine dimensions", npyOf(headerOf("<f4", [1, 1, 1, 1, 1, 1, 1, 1, 4]), data), "beyond all bounds"],
  [
    "a header without a shape",
    npyOf("{'descr': '<f4', 'fortran_order': False}", data),
    "a header that numpy does not write",
  ],
  [
    "code in the header",
    npyOf("{'descr': '<f4', 'fortran_order': False, 'shape': (__import__('os'),)}", data),
    "a header that numpy does not write",
  ],
  ["a header beyond the file", npyOf(headerOf("<f4", [4]), data).subarray(0, 40), "has a header of"],
  ["version 9", Buffer.from([0x93, ...Buffer.from("NUMPY"), 9, 0, 0, 0, 0, 0]), "is of version 9"],
  ["anything else", Buffer.from("no numpy at all"), "is no array of numpy"],
])("refuses %s", (_, bytes, message) => {
  const read = (): unknown => valuesOf(at(bytes));
  expect(read).toThrow(FileError);
  expect(read).toThrow("hostile.npy: ");
  expect(read).toThrow(message);
});

it.each([false, true])("reads the arrays of an archive (compressed: %s), each when it is asked for", (deflate) => {
  const archive = npzOf({ obs: floats([2, 2], [1, 2, 3, 4]), infos: npyOf(headerOf("|O", [2]), data) }, { deflate });
  const [obs, infos] = npzArrays(new ZipArchive(archive, "a.npz"), "a.npz");
  expect([obs!.name, obs!.shape, obs!.floating, valuesOf(obs!)]).toEqual(["obs", [2, 2], true, [1, 2, 3, 4]]);
  expect(() => valuesOf(infos!)).toThrow("holds objects");
});

it("looks no further into a large compressed entry than its beginning, until it is asked for", () => {
  const values = Float32Array.from({ length: 200_000 }, (_, i) => Math.sin(i));
  const broken = npzOf({ observations: floats([100_000, 2], values) }, { deflate: true });
  // The end of the compressed numbers, in front of the directory.
  broken.fill(0xff, broken.length - 200, broken.length - 130);
  const [array] = npzArrays(new ZipArchive(broken, "a.npz"), "a.npz");
  expect(array!.shape).toEqual([100_000, 2]);
  expect(() => valuesOf(array!)).toThrow(FileError);
});

const python = process.env["POPS_PYTHON"] ?? "python3";
const script = fileURLToPath(new URL("fixtures/write-observations.py", import.meta.url));
const able = (() => {
  try {
    execFileSync(python, ["-c", "import numpy"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
})();

it.skipIf(!able)("reads what numpy wrote, of every type, order and byte order (needs Python with numpy)", () => {
  const folder = mkdtempSync(join(tmpdir(), "pops-npy-"));
  try {
    execFileSync(python, [script, "numpy", folder]);
    const expected = JSON.parse(readFileSync(join(folder, "expected.json"), "utf8")) as Record<string, number[]>;
    for (const file of ["stored.npz", "deflated.npz"]) {
      const arrays = npzArrays(new ZipArchive(readFileSync(join(folder, file)), file), file);
      expect(arrays.length).toBe(Object.keys(expected).length);
      for (const array of arrays) expect([array.name, valuesOf(array)]).toEqual([array.name, expected[array.name]]);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});
