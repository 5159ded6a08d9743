import { WriteStream } from "node:tty";
import pc from "picocolors";

/** Colours where the stream is a terminal that shows them and nobody asked for none (`NO_COLOR`); elsewhere plain text. */
export function coloursOf(stream: NodeJS.WriteStream): ReturnType<typeof pc.createColors> {
  // Always true or false: picocolors takes `undefined`, which `isTTY` is on a pipe, to mean colours where CI is set.
  return pc.createColors(stream instanceof WriteStream && stream.hasColors());
}

export type Colours = ReturnType<typeof coloursOf>;

const MAX_LENGTH = 1_000;

/**
 * Text of unknown origin (a file's metadata, an error that quotes it) for a terminal: on one line, at most 1,000
 * characters, and nothing that the terminal would obey or hide. Control and format characters, which include escape
 * sequences and reversals of direction, are shown as `\u{1b}`.
 */
export function printable(text: string): string {
  // Not by one expression for a line's end and the spaces around it, whose time would grow with the square of these.
  const lines = text.split(/[\r\n]+/);
  const trimmed = lines.length > 1 ? lines.map((part) => part.trim()).filter((part) => part !== "") : lines;
  const line = trimmed.join(" ");
  const shown = line.slice(0, MAX_LENGTH).replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (character) => {
    return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
  });
  return line.length <= MAX_LENGTH ? shown : `${shown}... (${line.length - MAX_LENGTH} more characters)`;
}

/** A path as a word of a shell command. */
export function shellWord(path: string): string {
  return /^[\w./:@%+=-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}
