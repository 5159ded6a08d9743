import { describe, expect, it } from "vitest";
import { FileError } from "../../src/errors.ts";
import type { Recorded } from "../../src/observations/arrays.ts";
import { readCsv, readJsonl } from "../../src/observations/text.ts";

const csv = (text: string): Recorded => readCsv(Buffer.from(text), "log.csv");
const jsonl = (text: string): Recorded => readJsonl(Buffer.from(text), "log.jsonl");
const plain = ({ shape, observations, episodes }: Recorded) => [shape, [...observations], episodes && [...episodes]];

describe("CSV", () => {
  it.each<[what: string, text: string, read: unknown[]]>([
    ["numbers alone", "1,-2.5\n3e1,.5\n", [[2], [1, -2.5, 30, 0.5], null]],
    ["a first line of names", "x,y\n1,2\n3,4", [[2], [1, 2, 3, 4], null]],
    [
      "names in quotes, spaces, lines of Windows, an empty line",
      '"x", "y"\r\n1, 2\r\n\r\n3 ,4\r\n',
      [[2], [1, 2, 3, 4], null],
    ],
    ["the names that pandas gives", "0,1\n5,6\n", [[2], [5, 6], null]],
    ["an episode a line", "x,episode,y\n1,7,2\n3,7,4\n5,8,6\n", [[2], [1, 2, 3, 4, 5, 6], [0, 0, 1]]],
    ["an episode a line by another of its names", "x,Episode_ID,y\n1,7,2\n3,8,4\n", [[2], [1, 2, 3, 4], [0, 1]]],
    ["episodes by name, separated by tabs", "episode\tx\na\t1\nb\t2\na\t3\n", [[1], [1, 2, 3], [0, 1, 0]]],
    ["semicolons", "1;2\n3;4", [[2], [1, 2, 3, 4], null]],
    ["one number a line", "1\n0\n2", [[1], [1, 0, 2], null]],
    ["a mark of byte order", "\ufeffx,y\n1,2\n", [[2], [1, 2], null]],
  ])("is read: %s", (_, text, read) => {
    expect(plain(csv(text))).toEqual(read);
  });

  it.each([
    ["a word", "1,2\n3,four\n", 'line 2: "four" is no number'],
    ["a number that is none in float", "x\n1\nnan\n", 'line 3: "nan" is no number'],
    ["an empty cell", "1,2\n3,\n", 'line 2: "" is no number'],
    ["hexadecimal digits", "1\n0x10\n", 'line 2: "0x10" is no number'],
    ["a line of another length", "1,2\n3\n", "line 2 has 1 cells, the first line has 2"],
    ["names without numbers", "x,y\n", "holds no observation"],
    ["nothing", "\n\n", "holds no observation"],
    ["bytes that are no text", Buffer.from([0x31, 0x0a, 0xff, 0x0a]).toString("latin1"), "line 2"],
  ])("with %s is refused", (_, text, message) => {
    const read = () => readCsv(Buffer.from(text, "latin1"), "log.csv");
    expect(read).toThrow(FileError);
    expect(read).toThrow(`log.csv: ${message}`);
  });

  it("with a line beyond all bounds is refused", () => {
    expect(() => csv(`1\n${"1".repeat(2 ** 24 + 1)}\n`)).toThrow(
      "line 2 has 16777217 bytes, at most 16777216 are read",
    );
  });
});

describe("JSON lines", () => {
  it.each<[what: string, text: string, read: unknown[]]>([
    ["arrays", "[1,-2.5]\n\n[3e1,0]\n", [[2], [1, -2.5, 30, 0], null]],
    [
      "arrays of arrays",
      "[[1,2],[3,4],[5,6]]\n[[0,0],[0,0],[0,0]]",
      [[3, 2], [1, 2, 3, 4, 5, 6, 0, 0, 0, 0, 0, 0], null],
    ],
    ["objects", '{"observation":[1,2],"action":0}\n{"observation":[3,4]}', [[2], [1, 2, 3, 4], null]],
    [
      "objects with episodes by number or name",
      '{"episode":3,"observation":[1]}\n{"episode":"b","observation":[2]}\n{"episode":3,"observation":[3]}',
      [[1], [1, 2, 3], [0, 1, 0]],
    ],
    ["both kinds", '[1]\n{"observation":[2]}', [[1], [1, 2], null]],
  ])("are read: %s", (_, text, read) => {
    expect(plain(jsonl(text))).toEqual(read);
  });

  it.each([
    ["no JSON", "[1]\n[2,\n", "line 2 is not JSON"],
    ["NaN, as Python writes it", "[NaN]", "line 1 is not JSON"],
    ["a number beyond all floats", "[1e999]", "line 1 has no array of finite numbers as its observation"],
    ["a number alone", "5", 'line 1 is neither an array of numbers nor an object with "observation"'],
    ["an object without an observation", '{"obs":[1]}', "line 1 is neither an array of numbers nor an object"],
    ["words", '["1"]', "line 1 has no array of finite numbers"],
    ["an empty array", "[]", "line 1 has no array of finite numbers"],
    ["a ragged array", "[[1,2],[3]]", "line 1 has no array of finite numbers"],
    ["a number among arrays", "[[1],2]", "line 1 has no array of finite numbers"],
    ["another shape", "[1,2]\n[1,2,3]", "line 2 has shape [3], expected [2]"],
    ["an episode that is none", '{"observation":[1],"episode":[1]}', "line 1 is neither"],
    [
      "an episode that others don't have",
      '[1]\n{"observation":[1],"episode":1}',
      "line 2 says of its episode what others don't",
    ],
    [
      "no episode where others have one",
      '{"observation":[1],"episode":1}\n[1]',
      "line 2 says of its episode what others don't",
    ],
    ["arrays nested beyond all bounds", `${"[".repeat(100_000)}${"]".repeat(100_000)}`, "line 1"],
    ["nothing", "", "holds no observation"],
  ])("of %s are refused", (_, text, message) => {
    const read = () => jsonl(text);
    expect(read).toThrow(FileError);
    expect(read).toThrow(`log.jsonl: ${message}`);
  });
});
