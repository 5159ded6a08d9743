import { pruning, redundancy, teacherTraining, weights } from "./curves.ts";
import { html, pageHead, trusted } from "./html.ts";
import type { ReportInput, Section } from "./input.ts";
import { subjectOf } from "./measure.ts";
import { readoutScript } from "./readout.ts";
import { glossary, reproduction, timing, tried } from "./record.ts";
import { styleSheet } from "./style.ts";
import { architectures, comparison, headline, sizeFigure } from "./summary.ts";

export type { ReportInput } from "./input.ts";

/**
 * The report of a run as one HTML file that needs nothing else: no requests, no fonts, no scripts for its content. Its
 * content security policy admits the page's own style sheet and read-out script by their hashes and refuses all else.
 * Pure: equal inputs give equal bytes. Parts without data (an imported teacher's training) are left out.
 */
export function renderReport(input: ReportInput): string {
  const { result } = input;
  const sections = [
    comparison(input),
    sizeFigure(input),
    architectures(input),
    teacherTraining(input),
    pruning(input),
    redundancy(input),
    weights(input),
    tried(input),
    timing(input),
    reproduction(input),
    glossary(input),
  ].filter((section): section is Section => section !== undefined);
  return html`${pageHead(`${subjectOf(result)}: ${result.teacher.layers} to ${result.policy.layers} · PoPS report`, styleSheet, readoutScript)}
<body>
${headline(input)}
<main>
<nav aria-label="Contents"><ul>${sections.map((section) => html`<li><a href="#${section.id}">${section.title}</a></li>`)}</ul></nav>
${sections.map((section) => html`<section id="${section.id}" aria-labelledby="${section.id}-title">\n<h2 id="${section.id}-title">${section.title}</h2>\n${section.content}\n</section>\n`)}</main>
<footer>PoPS: policy pruning and shrinking, after Livne and Cohen, IEEE Journal of Selected Topics in Signal Processing 14(4), 2020.</footer>
<script>${trusted(readoutScript)}</script>
</body>
</html>
`.text;
}
