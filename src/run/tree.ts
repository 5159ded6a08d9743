import { NumericError, ShapeError } from "../errors.ts";
import type { Plain, PlainArray } from "../plain.ts";

/*
 * Plain data as JSON and a list of arrays. JSON has no typed arrays and no -0, so objects with one key that begins with
 * `$` stand for them, and an object's own keys that begin with `$` get another one in front:
 *
 *   { "$array": 3 }   the fourth array
 *   { "$zero": "-" }  -0
 */

/** Deeper states are refused: no algorithm has one, and a cycle would never end. */
const MAX_DEPTH = 64;

/**
 * The JSON text of a state, and the arrays that it refers to.
 *
 * @throws NumericError for NaN and infinity outside typed arrays
 * @throws ShapeError for what is not plain data; both name the place
 */
export function encodeTree(state: Plain): { json: string; arrays: PlainArray[] } {
  const arrays: PlainArray[] = [];
  const json = JSON.stringify(toJson(state, "state", 0, arrays));
  return { json, arrays };
}

function toJson(value: unknown, place: string, depth: number, arrays: PlainArray[]): unknown {
  if (depth > MAX_DEPTH) throw new ShapeError("encodeState", `${place} is nested more than ${MAX_DEPTH} deep`);
  if (value === null || typeof value === "boolean" || typeof value === "string") return value;
  if (typeof value === "number") {
    if (!Number.isFinite(value))
      throw new NumericError(`${place} is ${value}: a state holds finite numbers only, save in typed arrays`);
    return Object.is(value, -0) ? { $zero: "-" } : value;
  }
  if (isPlainArray(value)) return { $array: arrays.push(value) - 1 };
  if (Array.isArray(value)) {
    return Array.from(value, (item, index) => toJson(item, `${place}[${index}]`, depth + 1, arrays));
  }
  if (typeof value !== "object" || !isPlainObject(value)) {
    throw new ShapeError("encodeState", `${place} is ${kindOf(value)}, expected plain data`);
  }
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key.startsWith("$") ? `$${key}` : key,
      toJson(item, `${place}.${key}`, depth + 1, arrays),
    ]),
  );
}

/**
 * The state that `encodeTree` took apart.
 *
 * @throws Error for a text that it did not write
 */
export function decodeTree(json: string, arrays: readonly PlainArray[]): Plain {
  return fromJson(JSON.parse(json), 0, arrays);
}

function fromJson(value: unknown, depth: number, arrays: readonly PlainArray[]): Plain {
  if (depth > MAX_DEPTH) throw new Error(`is nested more than ${MAX_DEPTH} deep`);
  if (value === null || typeof value === "boolean" || typeof value === "string" || typeof value === "number")
    return value;
  if (Array.isArray(value)) return value.map((item) => fromJson(item, depth + 1, arrays));
  const entries = Object.entries(value as object) as [string, unknown][];
  const [[key, content] = ["", undefined]] = entries;
  if (key === "$zero") return -0;
  if (key === "$array") {
    const array = arrays[Number(content)];
    if (array === undefined) throw new Error(`refers to array ${String(content)} of ${arrays.length}`);
    return array;
  }
  return Object.fromEntries(
    entries.map(([name, item]) => [name.startsWith("$") ? name.slice(1) : name, fromJson(item, depth + 1, arrays)]),
  );
}

function isPlainArray(value: unknown): value is PlainArray {
  return (
    value instanceof Float32Array ||
    value instanceof Float64Array ||
    value instanceof Int32Array ||
    value instanceof Uint32Array ||
    value instanceof Uint8Array
  );
}

function isPlainObject(value: object | null): value is object {
  if (value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function kindOf(value: unknown): string {
  return typeof value === "object" && value !== null ? `a ${value.constructor.name}` : `of type ${typeof value}`;
}
