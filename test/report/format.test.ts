import { describe, expect, it } from "vitest";
import { duration, integer, objectiveText, percent, plural, score, significant } from "../../src/report/format.ts";

const plain = (text: string): string => text.replaceAll("\u00a0", " ");

describe("numbers in a report", () => {
  it.each([
    [integer(99584), "99,584"],
    [significant(0.0912), "0.0912"],
    [significant(71.44), "71.4"],
    [significant(12448, 5), "12,448"],
    [significant(0), "0"],
    [score(499.62), "499.6"],
    [score(-20.5), "\u221220.50"],
    [objectiveText(475), "475"],
    [percent(8 / 99584), "0.008 %"],
    [percent(0.985), "98.5 %"],
    [percent(0.99992), "99.99 %"],
    [percent(1), "100 %"],
    [plural(1, "weight"), "1 weight"],
    [plural(1276, "weight"), "1,276 weights"],
    [duration(0.84), "0.8 s"],
    [duration(59.7), "1 min 00 s"],
    [duration(97), "1 min 37 s"],
    [duration(3725), "1 h 02 min"],
  ])("%s is written %s", (written, expected) => {
    expect(plain(written)).toBe(expected);
  });
});
