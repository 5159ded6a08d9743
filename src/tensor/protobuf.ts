import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { FileError, reasonOf } from "../errors.ts";

/**
 * Fields that one file may hold over all its messages, packed elements included. It bounds the memory that a hostile
 * file can claim: two bytes on the wire can become an object of hundreds of bytes.
 */
const MAX_FIELDS = 1_000_000;

/** A message of a file: its bytes, and where they stand. */
export interface Span {
  readonly path: string;
  readonly bytes: Uint8Array;
  /** Position of `bytes` in the file. */
  readonly offset: number;
  /** Fields that may still be read, shared by all messages of the file. */
  readonly budget: { left: number };
}

/** The whole file as one message. */
export function fileSpan(path: string, bytes: Uint8Array): Span {
  return { path, bytes, offset: 0, budget: { left: MAX_FIELDS } };
}

/** The error for something wrong inside `span`, naming the file and the byte. */
export function spanError(span: Span, message: string, offset = 0): FileError {
  return new FileError(span.path, `byte ${span.offset + offset}: ${message}`);
}

function spend(span: Span, fields: number): void {
  span.budget.left -= fields;
  if (span.budget.left < 0) throw spanError(span, `the file holds more than ${MAX_FIELDS} fields`);
}

/** One field of a message. The accessors check the wire type and decode; a field that nobody decodes is skipped. */
export class Field {
  readonly number: number;
  /** Value bytes, the length prefix of a length-delimited value included. */
  readonly #span: Span;
  readonly #wire: WireType;

  constructor(number: number, wire: WireType, span: Span) {
    this.number = number;
    this.#wire = wire;
    this.#span = span;
  }

  error(message: string): FileError {
    return spanError(this.#span, message);
  }

  #decode<T>(wire: WireType, read: (reader: BinaryReader) => T): T {
    if (this.#wire !== wire) {
      throw this.error(`field ${this.number} has wire type ${this.#wire}, expected ${wire}`);
    }
    try {
      return read(new BinaryReader(this.#span.bytes));
    } catch (error) {
      throw this.error(`field ${this.number}: ${reasonOf(error)}`);
    }
  }

  /** The ends of int64 become ±2^63: who takes a number as a size or a position has to bound it anyway. */
  #safe(value: bigint | string): number {
    const number = safeInteger(value);
    if (number === undefined) throw this.error(`field ${this.number}: integer ${value} is beyond 2^53`);
    return number;
  }

  /** An int32, int64, bool or enum. */
  int(): number {
    return this.#safe(this.#decode(WireType.Varint, (reader) => reader.int64()));
  }

  float(): number {
    return this.#decode(WireType.Bit32, (reader) => reader.float());
  }

  fixed32(): number {
    return this.#decode(WireType.Bit32, (reader) => reader.fixed32());
  }

  /** UTF-8 text; malformed UTF-8 is refused. */
  string(): string {
    return this.#decode(WireType.LengthDelimited, (reader) => reader.string(true));
  }

  /** Bytes or an embedded message: a view of the file, not a copy. */
  span(): Span {
    const { path, offset, budget } = this.#span;
    return this.#decode(WireType.LengthDelimited, (reader) => {
      const bytes = reader.bytes();
      return { path, bytes, offset: offset + reader.pos - bytes.length, budget };
    });
  }

  /** A repeated int64, packed or one value a field. */
  ints(): number[] {
    if (this.#wire === WireType.Varint) return [this.int()];
    const { bytes } = this.span();
    spend(this.#span, bytes.length);
    const values = this.#decode(WireType.LengthDelimited, () => {
      const reader = new BinaryReader(bytes);
      const read: (bigint | string)[] = [];
      while (reader.pos < reader.len) read.push(reader.int64());
      return read;
    });
    return values.map((value) => this.#safe(value));
  }

  /** A repeated float, packed or one value a field. */
  floats(): Float32Array {
    if (this.#wire === WireType.Bit32) return Float32Array.of(this.float());
    const { bytes } = this.span();
    if (bytes.length % 4 !== 0) throw this.error(`field ${this.number}: ${bytes.length} bytes are no packed floats`);
    return float32sOf(bytes);
  }

  /** A repeated double, packed or one value a field. */
  doubles(): Float64Array {
    if (this.#wire === WireType.Bit64) return Float64Array.of(this.#decode(this.#wire, (reader) => reader.double()));
    const { bytes } = this.span();
    if (bytes.length % 8 !== 0) throw this.error(`field ${this.number}: ${bytes.length} bytes are no packed doubles`);
    return new Float64Array(new Uint8Array(bytes).buffer);
  }
}

/** An int64 as a number: up to 2^53, or ±2^63 for the ends of its range. `undefined` for what lies between. */
export function safeInteger(value: bigint | string): number | undefined {
  const number = Number(value);
  return Number.isSafeInteger(number) || Math.abs(number) === 2 ** 63 ? number : undefined;
}

/** Little-endian float32 values, copied so that their alignment in the file does not matter. */
export function float32sOf(bytes: Uint8Array): Float32Array {
  // Not `slice`, which for a Buffer is a view.
  return new Float32Array(new Uint8Array(bytes).buffer);
}

/** The fields of a message in order. Groups, lengths beyond the message and malformed tags are refused. */
export function* fieldsOf(span: Span): Generator<Field> {
  const reader = new BinaryReader(span.bytes);
  while (reader.pos < reader.len) {
    const start = reader.pos;
    let field: Field;
    try {
      const [number, wire] = reader.tag();
      if (wire === WireType.StartGroup || wire === WireType.EndGroup) throw new Error("groups are not supported");
      const offset = span.offset + reader.pos;
      field = new Field(number, wire, { ...span, bytes: reader.skip(wire), offset });
    } catch (error) {
      throw spanError(span, reasonOf(error), start);
    }
    spend(span, 1);
    yield field;
  }
}
