import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { expect, it } from "vitest";
import type { Event } from "../../src/events.ts";
import { fileVersionRecord, scalarsRecord } from "../../src/run/tensorboard.ts";
import { temporaryFolder } from "./fixtures/child.ts";

const evaluated: Event = {
  type: "teacher-evaluated",
  step: 1600,
  environmentSteps: 6400,
  score: { mean: 487.25, sd: 12.5, min: 400, episodes: 100 },
  passed: true,
};

/** CRC-32C bit by bit (RFC 3720), to check the writer against. */
function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc >>> 0;
}

function masked(crc: number): number {
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** The messages of an event file, every CRC checked. */
function messagesIn(file: Uint8Array): Uint8Array[] {
  const messages: Uint8Array[] = [];
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  for (let at = 0; at < file.length; ) {
    const length = Number(view.getBigUint64(at, true));
    expect(view.getUint32(at + 8, true)).toBe(masked(crc32c(file.subarray(at, at + 8))));
    const message = file.subarray(at + 12, at + 12 + length);
    expect(view.getUint32(at + 12 + length, true)).toBe(masked(crc32c(message)));
    messages.push(message);
    at += 16 + length;
  }
  return messages;
}

/** Fields of a message by number, in order; which of them are messages themselves is the caller's knowledge. */
function fieldsOf(message: Uint8Array): [field: number, value: unknown][] {
  const reader = new BinaryReader(message);
  const fields: [number, unknown][] = [];
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    const readers = {
      0: () => Number(reader.int64()),
      1: () => reader.double(),
      2: () => reader.bytes(),
      5: () => reader.float(),
    };
    fields.push([field, readers[type as 0 | 1 | 2 | 5]()]);
  }
  return fields;
}

function scalarsIn(summary: Uint8Array): [string, number][] {
  return fieldsOf(summary).map(([, value]) => {
    const { 1: tag, 2: number } = Object.fromEntries(fieldsOf(value as Uint8Array)) as { 1: Uint8Array; 2: number };
    return [Buffer.from(tag).toString(), number];
  });
}

it("begins a file with the version that TensorBoard expects", () => {
  const [message] = messagesIn(fileVersionRecord(1.5e9));
  const fields = Object.fromEntries(fieldsOf(message!)) as Record<number, unknown>;
  expect(fields[1]).toBe(1.5e9);
  expect(Buffer.from(fields[3] as Uint8Array).toString()).toBe("brain.Event:2");
});

it("writes every number of an event as a scalar at the event's step and the given time", () => {
  const [message] = messagesIn(scalarsRecord(evaluated, 1.7e9)!);
  const fields = Object.fromEntries(fieldsOf(message!)) as Record<number, unknown>;
  expect(fields[1]).toBe(1.7e9);
  expect(fields[2]).toBe(1600);
  expect(scalarsIn(fields[5] as Uint8Array)).toEqual([
    ["teacher-evaluated/environmentSteps", 6400],
    ["teacher-evaluated/score/mean", 487.25],
    ["teacher-evaluated/score/sd", 12.5],
    ["teacher-evaluated/score/min", 400],
    ["teacher-evaluated/score/episodes", 100],
  ]);
});

it("writes a number beyond float32 as infinity", () => {
  const event: Event = { ...evaluated, score: { ...evaluated.score, sd: 1e300 } };
  const [message] = messagesIn(scalarsRecord(event, 0)!);
  const fields = Object.fromEntries(fieldsOf(message!)) as Record<number, unknown>;
  expect(scalarsIn(fields[5] as Uint8Array)).toContainEqual(["teacher-evaluated/score/sd", Number.POSITIVE_INFINITY]);
});

it("writes nothing for the run's identity", () => {
  const event: Event = {
    type: "run-started",
    step: 0,
    version: 1,
    environment: "CartPole-v1",
    seed: 3,
    preset: "paper",
  };
  expect(scalarsRecord(event, 0)).toBeUndefined();
});

const { POPS_PYTHON: python = "python3" } = process.env;
const hasTensorBoard = spawnSync(python, ["-c", "import tensorboard"]).status === 0;

it.skipIf(!hasTensorBoard)("is read by TensorBoard as its own (needs Python with tensorboard)", () => {
  const folder = temporaryFolder();
  const later: Event = { ...evaluated, step: 3200, score: { ...evaluated.score, mean: 500 } };
  writeFileSync(
    join(folder, "events.out.tfevents.pops"),
    Buffer.concat([fileVersionRecord(10), scalarsRecord(evaluated, 11)!, scalarsRecord(later, 12)!]),
  );
  const program = `
import json, sys
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
from tensorboard.util import tensor_util
log = EventAccumulator(sys.argv[1]).Reload()
points = log.Tensors("teacher-evaluated/score/mean")
print(json.dumps({
  "tags": sorted(log.Tags()["tensors"]),
  "plugin": log.SummaryMetadata("teacher-evaluated/score/mean").plugin_data.plugin_name,
  "points": [[point.step, point.wall_time, float(tensor_util.make_ndarray(point.tensor_proto))] for point in points],
}))`;
  const { stdout } = spawnSync(python, ["-c", program, folder], { encoding: "utf8" });
  expect(JSON.parse(stdout)).toEqual({
    tags: ["environmentSteps", "score/episodes", "score/mean", "score/min", "score/sd"].map(
      (tag) => `teacher-evaluated/${tag}`,
    ),
    plugin: "scalars",
    points: [
      [1600, 11, 487.25],
      [3200, 12, 500],
    ],
  });
});
