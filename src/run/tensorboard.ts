import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { maskedCrc32c } from "../crc32c.ts";
import type { Event } from "../events.ts";

/*
 * TensorBoard event files: TFRecords (tensorflow/core/lib/io/record_writer.h) of `Event` messages
 * (tensorboard/compat/proto/event.proto, summary.proto); the field numbers below are theirs.
 */

/** First record of every event file. `wallTime` in seconds since 1970. */
export function fileVersionRecord(wallTime: number): Uint8Array {
  return frame(eventMessage(wallTime, 0).tag(3, WireType.LengthDelimited).string("brain.Event:2"));
}

/** Fields that hold an architecture: its numbers say what a network is and measure nothing. */
const ARCHITECTURES = ["architecture", "from", "to"];

/**
 * One record with every number of the event as a scalar at the event's step, tagged `type/field` or `type/field/field`:
 * `teacher-evaluated/score/mean`. Lists, truth values and architectures have no curve. `undefined` when nothing is left: `run-started`
 * holds the run's identity, not measurements.
 */
export function scalarsRecord(event: Event, wallTime: number): Uint8Array | undefined {
  if (event.type === "run-started") return undefined;
  const { type, step, ...fields } = event;
  const scalars = [...numbersIn(type, fields)];
  if (scalars.length === 0) return undefined;
  const message = eventMessage(wallTime, step).tag(5, WireType.LengthDelimited).fork();
  for (const [tag, value] of scalars) {
    message.tag(1, WireType.LengthDelimited).fork();
    message.tag(1, WireType.LengthDelimited).string(tag);
    message.tag(2, WireType.Bit32).float(Math.fround(value));
    message.join();
  }
  return frame(message.join());
}

function* numbersIn(prefix: string, fields: object): Generator<[tag: string, value: number]> {
  for (const [name, value] of Object.entries(fields) as [string, unknown][]) {
    if (ARCHITECTURES.includes(name)) continue;
    const tag = `${prefix}/${name}`;
    if (typeof value === "number") yield [tag, value];
    else if (typeof value === "object" && value !== null && !Array.isArray(value)) yield* numbersIn(tag, value);
  }
}

function eventMessage(wallTime: number, step: number): BinaryWriter {
  return new BinaryWriter().tag(1, WireType.Bit64).double(wallTime).tag(2, WireType.Varint).int64(step);
}

/** u64 length, masked CRC of those 8 bytes, the message, masked CRC of the message; little-endian. */
function frame(message: BinaryWriter): Uint8Array {
  const bytes = message.finish();
  const record = new Uint8Array(8 + 4 + bytes.length + 4);
  const view = new DataView(record.buffer);
  view.setBigUint64(0, BigInt(bytes.length), true);
  view.setUint32(8, maskedCrc32c(record.subarray(0, 8)), true);
  record.set(bytes, 12);
  view.setUint32(12 + bytes.length, maskedCrc32c(bytes), true);
  return record;
}
