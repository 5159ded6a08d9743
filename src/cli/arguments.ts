/** What stands behind options of the command line. */
import { InvalidArgumentError } from "commander";

/** Parser of a whole number of at least `least`. */
export function integer(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === "" || !Number.isSafeInteger(value) || value < least)
      throw new InvalidArgumentError(`Expected a whole number from ${least}.`);
    return value;
  };
}

export function seconds(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !(value >= 0)) throw new InvalidArgumentError("Expected a number of seconds from 0.");
  return value;
}

/** What pixels are divided by. */
export function divisor(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 1e9)) throw new InvalidArgumentError("Expected a number above 0, up to 1e9.");
  return value;
}

/** Longer waits are more than a timer can have. */
export function patience(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 1e6))
    throw new InvalidArgumentError("Expected a number of seconds above 0, up to 1000000.");
  return value;
}

const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600 };

/** Seconds of "90s", "45m" or "2h". */
export function duration(text: string): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?)([smh])$/.exec(text) ?? [];
  const value = Number(number) * (UNITS[unit ?? ""] ?? Number.NaN);
  if (!(value > 0 && value <= 1e6)) throw new InvalidArgumentError('Expected a time such as "90s", "45m" or "2h".');
  return value;
}

export function fraction(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !(value >= 0 && value <= 1))
    throw new InvalidArgumentError("Expected a number from 0 to 1.");
  return value;
}

export const collect = (value: string, before: readonly string[] = []): string[] => [...before, value];
export const list = (text: string): string[] => text.split(",");
