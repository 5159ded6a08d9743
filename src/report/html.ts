import { createHash } from "node:crypto";

/** A piece of HTML or SVG that is already escaped. Only `html` and `trusted` make one. */
export class Markup {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

/**
 * What a template may hold. Strings are escaped, markup is not, `undefined` is left out, lists are joined. Numbers are
 * coordinates and rounded to 0.1 (files stay small); numbers to be read are formatted to strings first.
 */
export type Piece = string | number | undefined | Markup | readonly Piece[];

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Makes text safe between tags and inside quoted attributes. Control characters that HTML forbids become U+FFFD. */
export function escapeHtml(text: string): string {
  return text
    .replace(/[&<>"']/g, (character) => entities[character] ?? character)
    .replace(/[^\t\n\r\u0020-\u007e\u00a0-\u{10ffff}]|[\ud800-\udfff]/gu, "\ufffd");
}

/** Template tag: escapes everything that is put in unless it is markup already. */
export function html(strings: TemplateStringsArray, ...pieces: Piece[]): Markup {
  return new Markup(String.raw({ raw: strings }, ...pieces.map(textOf)));
}

/** Markup from a constant of this program (style sheet, script). Never call it with data. */
export function trusted(text: string): Markup {
  return new Markup(text);
}

function textOf(piece: Piece): string {
  if (piece === undefined) return "";
  if (piece instanceof Markup) return piece.text;
  if (typeof piece === "string") return escapeHtml(piece);
  if (typeof piece === "number") return String(Math.round(piece * 10) / 10);
  return piece.map(textOf).join("");
}

/** Beginning of a page without requests, up to its body: it admits exactly its inline style sheet and the script that is to come. */
export function pageHead(title: string, style: string, script: string): Markup {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${contentPolicy(style, script)}">
<title>${title}</title>
<style>${trusted(style)}</style>
</head>`;
}

function contentPolicy(style: string, script: string): string {
  const admitted = [style, script].map((text) => createHash("sha256").update(text, "utf8").digest("base64"));
  return `default-src 'none'; style-src 'sha256-${admitted[0]}'; script-src 'sha256-${admitted[1]}'; base-uri 'none'; form-action 'none'`;
}
