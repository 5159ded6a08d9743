import { z } from "zod";
import { FileError, reasonOf } from "../errors.ts";
import { NUMBERS, numbered, type Recorded } from "./arrays.ts";
import { MAX_DIMENSIONS, MAX_ELEMENTS, MAX_LINE_BYTES } from "./limits.ts";

/** Lines that hold anything, with their numbers. */
function* linesOf(bytes: Uint8Array, path: string): Generator<[line: string, number: number]> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let from = 0;
  for (let number = 1; from < bytes.length; number++) {
    const end = bytes.indexOf(0x0a, from);
    const to = end < 0 ? bytes.length : end;
    if (to - from > MAX_LINE_BYTES) {
      throw new FileError(path, `line ${number} has ${to - from} bytes, at most ${MAX_LINE_BYTES} are read`);
    }
    let line: string;
    try {
      line = decoder.decode(bytes.subarray(from, to)).trim();
    } catch (error) {
      throw new FileError(path, `line ${number} is not UTF-8`, { cause: error });
    }
    from = to + 1;
    if (line !== "") yield [line, number];
  }
}

/** Observations as they are read, and the episodes that were named with them. */
class Rows {
  readonly #path: string;
  #numbers = new Float32Array(1024);
  #count = 0;
  #width = 0;
  readonly #episodes: (string | number)[] = [];
  #rows = 0;

  constructor(path: string) {
    this.#path = path;
  }

  /** Refuses rows that are not as the first one was. */
  add(row: readonly number[], episode: string | number | undefined, line: number): void {
    if (this.#rows === 0) this.#width = row.length;
    if (row.length !== this.#width || row.length === 0) {
      this.#refuse(line, `has ${row.length} numbers, expected ${this.#width || "at least one"}`);
    }
    if (this.#rows > 0 && (episode === undefined) !== (this.#episodes.length === 0)) {
      this.#refuse(line, "says of its episode what others don't: all lines name one, or none does");
    }
    if (this.#count + row.length > MAX_ELEMENTS)
      this.#refuse(line, `goes beyond the ${MAX_ELEMENTS} numbers that are read`);
    if (this.#count + row.length > this.#numbers.length) {
      const larger = new Float32Array(Math.min(MAX_ELEMENTS, 2 * (this.#count + row.length)));
      larger.set(this.#numbers);
      this.#numbers = larger;
    }
    this.#numbers.set(row, this.#count);
    this.#count += row.length;
    this.#rows++;
    if (episode !== undefined) this.#episodes.push(episode);
  }

  recorded(shape: readonly number[]): Recorded {
    if (this.#rows === 0) throw new FileError(this.#path, "holds no observation");
    return {
      shape,
      observations: this.#numbers.slice(0, this.#count),
      episodes: this.#episodes.length > 0 ? numbered(this.#episodes) : null,
    };
  }

  #refuse(line: number, what: string): never {
    throw new FileError(this.#path, `line ${line} ${what}`);
  }
}

const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;

/**
 * One observation a line, its numbers separated by commas, semicolons or tabs. The first line may name the columns: if none of
 * its cells is a number, or they are 0, 1, 2 and so on, as pandas names them. A column `episode`, or of another
 * of those names, says to which one each belongs.
 * @throws FileError naming the line
 */
export function readCsv(bytes: Uint8Array, path: string): Recorded {
  const rows = new Rows(path);
  let separator: string | undefined;
  let episodeAt = -1;
  let width = 0;
  for (const [line, number] of linesOf(bytes, path)) {
    const first = separator === undefined;
    separator ??= [",", ";", "\t"].find((mark) => line.includes(mark)) ?? ",";
    const cells = line.split(separator).map((cell) => cell.trim().replace(/^"(.*)"$/, "$1"));
    const named = !cells.some((cell) => NUMBER.test(cell));
    if (first && (named || (cells.length > 1 && cells.every((cell, i) => cell === String(i))))) {
      episodeAt = cells.findIndex((cell) => NUMBERS.includes(cell.toLowerCase()));
      width = cells.length;
      continue;
    }
    if (width > 0 && cells.length !== width) {
      throw new FileError(path, `line ${number} has ${cells.length} cells, the first line has ${width}`);
    }
    const [episode] = episodeAt < 0 ? [] : cells.splice(episodeAt, 1);
    const wrong = cells.find((cell) => !NUMBER.test(cell));
    if (wrong !== undefined) {
      throw new FileError(path, `line ${number}: ${JSON.stringify(wrong.slice(0, 100))} is no number`);
    }
    rows.add(cells.map(Number), episode, number);
    width = episodeAt < 0 ? cells.length : cells.length + 1;
  }
  return rows.recorded([episodeAt < 0 ? width : width - 1]);
}

const lineSchema = z.object({ observation: z.unknown(), episode: z.union([z.string(), z.number()]).optional() });

/**
 * One observation a line: an array of numbers, of several dimensions if it has them, or an object with that as `observation`
 * and optionally a number or name of its `episode`. Other entries of the object are left out.
 * @throws FileError naming the line
 */
export function readJsonl(bytes: Uint8Array, path: string): Recorded {
  const rows = new Rows(path);
  let shape: number[] = [];
  for (const [line, number] of linesOf(bytes, path)) {
    const refuse = (what: string): never => {
      throw new FileError(path, `line ${number} ${what}`);
    };
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch (error) {
      refuse(`is not JSON: ${reasonOf(error)}`);
    }
    const object = Array.isArray(value) ? { observation: value as unknown } : lineSchema.safeParse(value).data;
    if (!object) return refuse('is neither an array of numbers nor an object with "observation"');
    const row: number[] = [];
    const own = flatten(object.observation, row) ?? refuse("has no array of finite numbers as its observation");
    if (shape.length === 0) shape = own;
    if (own.join() !== shape.join()) refuse(`has shape [${own.join(", ")}], expected [${shape.join(", ")}]`);
    rows.add(row, object.episode, number);
  }
  return rows.recorded(shape);
}

/** Appends the numbers of nested arrays; gives their shape, or nothing when they have none. */
function flatten(value: unknown, into: number[], depth = 0): number[] | undefined {
  if (!Array.isArray(value) || depth === MAX_DIMENSIONS) return undefined;
  if (typeof value[0] === "number") {
    for (const item of value as unknown[]) {
      if (typeof item !== "number" || !Number.isFinite(item)) return undefined;
      into.push(item);
    }
    return [value.length];
  }
  const shapes = value.map((item: unknown) => flatten(item, into, depth + 1));
  const [first] = shapes;
  return first && shapes.every((shape) => shape?.join() === first.join()) ? [value.length, ...first] : undefined;
}
