import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { escapeHtml, html } from "../../src/report/html.ts";

const decode = (text: string): string =>
  text
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&quot;", '"')
    .replaceAll("&#39;", "'")
    .replaceAll("&amp;", "&");

describe("escapeHtml", () => {
  it("escapes the five characters that mean something to HTML", () => {
    expect(escapeHtml(`<a b="c" d='e'>&`)).toBe("&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;&amp;");
  });

  it("replaces control characters and lone surrogates, keeps line breaks and characters beyond 16 bits", () => {
    expect(escapeHtml("a\u0000b\u001b\ud800c\n\t\u{1f600}")).toBe("a\ufffdb\ufffd\ufffdc\n\t\u{1f600}");
  });

  it("loses nothing of printable text", () => {
    fc.assert(fc.property(fc.string(), (text) => decode(escapeHtml(text)) === text));
  });
});

describe("html", () => {
  it("escapes strings, keeps markup, joins lists, leaves undefined out and rounds coordinates to 0.1", () => {
    expect(html`<p title="${'"'}">${"<b>"}${html`<i>${["x", "&"]}</i>`}${undefined}${1.26}</p>`.text).toBe(
      '<p title="&quot;">&lt;b&gt;<i>x&amp;</i>1.3</p>',
    );
  });
});
