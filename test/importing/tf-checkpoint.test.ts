import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { expect, it } from "vitest";
import { FileError } from "../../src/errors.ts";
import { decodeTfCheckpoint, readTfCheckpoint } from "../../src/importing/tf-checkpoint.ts";
import { denseVariables, headerOf, type TableOptions, writeCheckpoint, writeTable } from "./fixtures/tf-writer.ts";

const variables = denseVariables({ fc_1: [2, 3], fc_2: [3, 2] });

it("reads every float32 variable, whatever the names, shapes and blocks", () => {
  const shape = fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 3 });
  const any = shape.chain((dims) => {
    const size = dims.reduce((product, dim) => product * dim, 1);
    return fc.record({
      shape: fc.constant(dims),
      data: fc.float32Array({ minLength: size, maxLength: size }),
      shard: fc.integer({ min: 0, max: 2 }),
    });
  });
  const names = fc.string({ unit: "grapheme", minLength: 1, maxLength: 12 }).filter((name) => name !== "__proto__");
  fc.assert(
    fc.property(fc.dictionary(names, any), fc.integer({ min: 1, max: 5 }), (expected, entriesPerBlock) => {
      const { index, shards } = writeCheckpoint(expected, { entriesPerBlock });
      const read = decodeTfCheckpoint(index, shards, "x");
      const stripped = Object.entries(expected).map(
        ([name, { shape: dims, data }]) => [name, { shape: dims, data }] as const,
      );
      expect(read).toEqual(new Map(stripped));
    }),
  );
});

it("leaves out variables of other types", () => {
  const { index, shards } = writeCheckpoint({ ...variables, step: { shape: [], data: Int32Array.of(7) } });
  expect([...decodeTfCheckpoint(index, shards, "x").keys()]).toEqual([...Object.keys(variables)].sort());
});

it("reads the files by their prefix or by the index", () => {
  const folder = mkdtempSync(join(tmpdir(), "pops-tf-"));
  try {
    const prefix = join(folder, "model.ckpt");
    const { index, shards } = writeCheckpoint({ ...variables, other: { ...variables["fc_1/biases"]!, shard: 1 } });
    writeFileSync(`${prefix}.index`, index);
    for (const [shard, data] of shards.entries()) writeFileSync(`${prefix}.data-0000${shard}-of-00002`, data);
    expect(readTfCheckpoint(prefix)).toEqual(decodeTfCheckpoint(index, shards, "x"));
    expect(readTfCheckpoint(`${prefix}.index`).size).toBe(5);
    rmSync(`${prefix}.data-00001-of-00002`);
    expect(() => readTfCheckpoint(prefix)).toThrow(`${prefix}.data-00001-of-00002: cannot be read: no such file`);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

it("names the files that a prefix without checkpoint lacks", () => {
  expect(() => readTfCheckpoint("no/such/model.ckpt")).toThrow("no/such/model.ckpt.index: cannot be read");
});

type Fields = Partial<Record<"dtype" | "shard" | "offset" | "size" | "crc" | "slice", number>> & {
  shape?: readonly number[];
};

/** A checkpoint with one entry of these fields and 8 bytes of data. */
function withEntry({ shape = [2], ...fields }: Fields): [Uint8Array, Uint8Array[]] {
  const { dtype = 1, shard = 0, offset = 0, size = 8, crc = 0, slice } = fields;
  const writer = new BinaryWriter().tag(1, WireType.Varint).int32(dtype).tag(2, WireType.LengthDelimited).fork();
  for (const dim of shape) writer.tag(2, WireType.LengthDelimited).fork().tag(1, WireType.Varint).int64(dim).join();
  writer.join().tag(3, WireType.Varint).int32(shard).tag(4, WireType.Varint).int64(offset);
  writer.tag(5, WireType.Varint).int64(size).tag(6, WireType.Bit32).fixed32(crc);
  if (slice !== undefined) writer.tag(7, WireType.LengthDelimited).string("");
  return [
    writeTable([
      ["", headerOf(1)],
      ["v", writer.finish()],
    ]),
    [new Uint8Array(8)],
  ];
}

it.each<[string, Fields, string]>([
  ["a wrong CRC", { crc: 1 }, 'x.data-00000-of-00001: variable "v" at byte 0 is damaged'],
  ["an offset beyond the data", { offset: 4 }, "bytes 4 to 12, beyond the end"],
  ["a negative offset", { offset: -4 }, "offset -4"],
  ["an offset beyond 2^53", { offset: Number.MAX_SAFE_INTEGER }, "beyond the end"],
  ["a size that does not fit the shape", { size: 4 }, "claims 4 bytes, expected 8"],
  ["a shape that overflows", { shape: [2 ** 50, 2 ** 50] }, "claims 8 bytes"],
  ["a negative dimension", { shape: [-1, -2] }, "dimension -1 is negative"],
  ["a shard that is not there", { shard: 1 }, "has shard 1"],
  ["a negative shard", { shard: -1 }, "has shard -1"],
  ["more bytes than the data files hold", { shape: [2 ** 30], size: 2 ** 32 }, "names 4294967296 bytes"],
  ["a sliced variable", { slice: 1 }, "stored in slices"],
])("refuses %s", (_name, fields, problem) => {
  expect(() => decodeTfCheckpoint(...withEntry(fields), "x")).toThrow(FileError);
  expect(() => decodeTfCheckpoint(...withEntry(fields), "x")).toThrow(problem);
});

/** The first data block of a table starts with this entry: no shared bytes, `own` key bytes, `length` value bytes. */
function startingWith(shared: number, own: number, length: number): TableOptions {
  return {
    entriesPerBlock: 100,
    tamper: (block) => Buffer.concat([Uint8Array.of(shared, own, length), block.subarray(3)]),
  };
}

const { index, shards } = writeCheckpoint(variables);
const longKey = "k".repeat(1025);

it.each<[string, Uint8Array, string]>([
  ["an empty file", new Uint8Array(0), "table magic not found"],
  ["a truncated file", index.subarray(0, -1), "table magic not found"],
  ["a file without its begin", index.subarray(10), "byte "],
  ["a flipped bit in a block", Buffer.from(index).fill(index[5]! ^ 4, 5, 6), "the block is damaged"],
  ["a snappy block", writeCheckpoint(variables, { compression: 1 }).index, "compressed (snappy)"],
  ["an unknown compression", writeCheckpoint(variables, { compression: 9 }).index, "compressed (type 9)"],
  ["a prefix longer than the key before", writeCheckpoint(variables, startingWith(1, 0, 0)).index, "malformed entry"],
  ["an entry beyond its block", writeCheckpoint(variables, startingWith(0, 100, 127)).index, "malformed entry"],
  ["an empty block", writeCheckpoint(variables, { tamper: () => new Uint8Array(0) }).index, "at least 4 bytes"],
  [
    "more restart points than fit",
    writeCheckpoint(variables, { tamper: (block) => Buffer.concat([block, Buffer.from([0xff, 0xff, 0xff, 0xff])]) })
      .index,
    "claims 4294967295 restart points",
  ],
  ["a table without entries", writeTable([]), "no bundle header"],
  ["a table without header", writeTable([["v", new Uint8Array(0)]]), "no bundle header"],
  ["a big-endian checkpoint", writeTable([["", headerOf(1, 1)]]), "big-endian"],
  ["no data files", writeTable([["", headerOf(0)]]), "0 data files"],
  ["a million data files", writeTable([["", headerOf(1_000_000)]]), "1000000 data files"],
  ["another number of data files", writeTable([["", headerOf(2)]]), "belongs to 2 data files, 1 are given"],
  [
    "keys out of order",
    writeTable([
      ["", headerOf(1)],
      ["b", new Uint8Array(0)],
      ["a", new Uint8Array(0)],
    ]),
    "not in order",
  ],
  [
    "a key twice",
    writeTable([
      ["", headerOf(1)],
      ["b", new Uint8Array(0)],
      ["b", new Uint8Array(0)],
    ]),
    "not in order",
  ],
  [
    "a very long key",
    writeTable([
      ["", headerOf(1)],
      [longKey, new Uint8Array(0)],
    ]),
    "a key of 1025 bytes",
  ],
])("refuses %s", (_name, bytes, problem) => {
  expect(() => decodeTfCheckpoint(bytes, shards, "x")).toThrow(FileError);
  expect(() => decodeTfCheckpoint(bytes, shards, "x")).toThrow("x.index: ");
  expect(() => decodeTfCheckpoint(bytes, shards, "x")).toThrow(problem);
});

const teacher = new URL("../../../shared/teachers/cartpole-original/model.ckpt", import.meta.url).pathname;

it.skipIf(!existsSync(`${teacher}.index`))(
  "reads the authors' released CartPole teacher, written by TensorFlow (needs shared/teachers)",
  () => {
    const read = readTfCheckpoint(teacher);
    expect(read.size).toBe(34);
    expect(read.get("fc_2/weights")?.shape).toEqual([256, 256]);
    expect(read.get("logits/biases")?.shape).toEqual([2]);
    const { data } = read.get("fc_1/mask")!;
    expect(data.every((value) => value === 1)).toBe(true);
  },
);
