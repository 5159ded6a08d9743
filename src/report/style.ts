/** Colours, light and dark by the reader's preference. */
export const palette = `:root {
  color-scheme: light dark;
  --paper: #ffffff; --sheet: #f6f7f8; --ink: #16191d; --muted: #565d66; --faint: #a9b0b8; --hair: #e3e6e9;
  --accent: #0a6c74; --wash: rgba(10, 108, 116, 0.13); --band: rgba(22, 25, 29, 0.07); --flow: rgba(22, 25, 29, 0.08);
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --paper: #111417; --sheet: #181c20; --ink: #eceff2; --muted: #a3abb4; --faint: #6a727b; --hair: #2a3036;
    --accent: #5fd0cf; --wash: rgba(95, 208, 207, 0.18); --band: rgba(236, 239, 242, 0.1); --flow: rgba(236, 239, 242, 0.1);
  }
}`;

/**
 * One style sheet for screen (light and dark by the reader's preference), phone and paper. Contrast of all text is at
 * least 4.5 to 1 on its background. One accent colour; everything else is a shade of ink.
 */
export const styleSheet = `
${palette}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body {
  margin: 0; background: var(--paper); color: var(--ink); overflow-wrap: break-word;
  font: 16px/1.6 "Inter", "Helvetica Neue", Helvetica, "Segoe UI", Roboto, Arial, sans-serif;
  font-variant-numeric: tabular-nums; -webkit-font-smoothing: antialiased;
}
main, header, footer { max-width: 1040px; margin: 0 auto; padding: 0 40px; }
header { padding-top: 72px; }
h1, h2, h3 { font-weight: 600; line-height: 1.15; letter-spacing: -0.015em; text-wrap: balance; margin: 0; }
h2 { font-size: 26px; margin-bottom: 8px; }
h3 { font-size: 16px; letter-spacing: 0; line-height: 1.4; }
p { margin: 0 0 12px; max-width: 68ch; }
a { color: var(--accent); text-underline-offset: 3px; }
section { padding: 64px 0 0; }
.lead { color: var(--muted); margin-bottom: 28px; }
.over { color: var(--muted); font-size: 14px; margin: 0 0 14px; }

.hero { display: grid; grid-template-columns: minmax(0, 1fr) 250px; gap: 56px; align-items: end; }
.hero h1 { font-size: 60px; letter-spacing: -0.035em; line-height: 1.05; }
.hero h1 .was { display: block; color: var(--muted); font-weight: 400; }
.hero h1 .now { display: block; color: var(--accent); }
.verdict { font-size: 20px; line-height: 1.5; margin: 24px 0 0; max-width: 34em; }
.caution { font-size: 16px; line-height: 1.5; margin: 16px 0 0; max-width: 42em; }
.squares { margin: 0; }
.squares svg { width: 100%; max-width: 250px; }
.squares figcaption { margin-top: 8px; }
.facts { display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); gap: 0 32px; margin: 48px 0 0; padding: 0; border-top: 1px solid var(--hair); border-bottom: 1px solid var(--hair); }
.facts > div { padding: 20px 0; }
.facts dt { color: var(--muted); font-size: 14px; }
.facts dd { margin: 0; }
.facts .figure { font-size: 30px; font-weight: 600; letter-spacing: -0.02em; line-height: 1.3; }
.facts .note { display: block; color: var(--muted); font-size: 14px; line-height: 1.4; }
nav { margin-top: 28px; font-size: 14px; }
nav ul { list-style: none; margin: 0; padding: 0; display: flex; flex-wrap: wrap; gap: 4px 22px; }
nav a { color: var(--muted); text-decoration: none; display: inline-block; padding: 4px 0; }
nav a:hover { color: var(--accent); text-decoration: underline; }

figure { margin: 0; break-inside: avoid; }
figure + figure { margin-top: 40px; }
figcaption { color: var(--muted); font-size: 14px; line-height: 1.5; margin-top: 10px; max-width: 72ch; }
svg { display: block; max-width: 100%; height: auto; overflow: visible; }
.narrow { display: none; }
.grid2, .grid3 { display: grid; gap: 48px 56px; grid-template-columns: repeat(2, minmax(0, 1fr)); align-items: start; }
.grid3 { gap: 36px 48px; grid-template-columns: repeat(3, minmax(0, 1fr)); }
.grid2 > figure + figure, .grid3 > figure + figure { margin-top: 0; }
.grid2 > figure, .grid3 > figure { min-width: 0; }
figure h3 { margin-bottom: 2px; }
.sub { color: var(--muted); font-size: 14px; margin: 0 0 10px; }
.gap { margin-top: 48px; }
.row { display: flex; flex-wrap: wrap; gap: 36px 56px; align-items: start; }
.box { overflow-x: auto; max-width: 100%; }

svg text { font-size: 13px; fill: var(--muted); font-variant-numeric: tabular-nums; }
svg text.name { fill: var(--ink); }
svg text.size { fill: var(--ink); font-weight: 600; font-size: 15px; }
svg text.callout { font-weight: 600; paint-order: stroke; stroke: var(--paper); stroke-width: 4px; stroke-linejoin: round; }
svg .text-accent { fill: var(--accent); } svg .text-ink { fill: var(--ink); } svg .text-muted, svg .text-faint { fill: var(--muted); }
.fill-accent { fill: var(--accent); } .fill-ink { fill: var(--ink); } .fill-muted { fill: var(--muted); } .fill-faint { fill: var(--faint); }
.stroke-accent { stroke: var(--accent); } .stroke-ink { stroke: var(--ink); } .stroke-muted { stroke: var(--muted); } .stroke-faint { stroke: var(--faint); }
.line { fill: none; stroke-width: 1.8px; stroke-linejoin: round; stroke-linecap: round; }
.line.stroke-faint { stroke-width: 1.2px; } .line.stroke-ink { stroke-width: 1.3px; }
.grid { stroke: var(--hair); stroke-width: 1px; } .base { stroke: var(--faint); stroke-width: 1px; }
.rule { stroke: var(--muted); stroke-width: 1.2px; stroke-dasharray: 5 4; }
.band { fill: var(--band); } .catch { fill: transparent; }
.halo { stroke: var(--paper); stroke-width: 1.2px; }
.cross { fill: none; stroke-width: 1.8px; stroke-linecap: round; }
.whisker { fill: none; stroke-width: 1.4px; } .ring { fill: none; stroke-width: 2px; }
.leader { fill: none; stroke: var(--accent); stroke-width: 1.2px; } svg text.size.text-accent { fill: var(--accent); } svg text.size.text-muted { fill: var(--muted); font-weight: 400; } svg text.inside { fill: var(--paper); }
.edge.negative { stroke-dasharray: 6 4; } .node { fill: var(--paper); stroke: var(--ink); stroke-width: 1.6px; }
.unbroken { display: inline-block; max-width: 100%; overflow-wrap: anywhere; }
.outline { fill: var(--flow); stroke: var(--faint); }
.unit { fill: var(--faint); } .flow { fill: var(--flow); } .flow-live { fill: var(--wash); } .track { fill: var(--flow); }
.cursor { fill: var(--paper); stroke: var(--ink); stroke-width: 1.6px; pointer-events: none; }
.key { display: inline-flex; align-items: center; gap: 6px; margin-right: 18px; white-space: nowrap; }
.key svg { flex: none; }
.tip { position: fixed; z-index: 9; left: 0; top: 0; visibility: hidden; pointer-events: none; white-space: pre-line; max-width: 300px; background: var(--ink); color: var(--paper); font-size: 13px; line-height: 1.45; padding: 6px 10px; border-radius: 4px; }
.tip.on { visibility: visible; }

.scroll { overflow: auto; max-height: 520px; border-bottom: 1px solid var(--hair); }
.scroll:focus-visible, summary:focus-visible, a:focus-visible { outline: 2px solid var(--accent); outline-offset: 3px; }
table { border-collapse: collapse; width: 100%; font-size: 15px; }
caption { text-align: left; color: var(--muted); font-size: 14px; padding: 0 0 10px; }
th, td { padding: 9px 0 9px 28px; text-align: right; border-top: 1px solid var(--hair); white-space: nowrap; font-weight: 400; vertical-align: baseline; }
th:first-child, td:first-child { padding-left: 0; text-align: left; }
thead th { color: var(--muted); font-size: 14px; border-top: 0; }
.scroll thead th { position: sticky; top: 0; background: var(--paper); box-shadow: 0 1px 0 var(--hair); z-index: 1; }
tbody tr:last-child > * { border-bottom: 1px solid var(--hair); }
.scroll tbody tr:last-child > * { border-bottom: 0; }
td.text, th.text { text-align: left; }
td.wrap { white-space: normal; overflow-wrap: anywhere; }
tbody th { color: var(--ink); }
.strong { font-weight: 600; color: var(--accent); }
.none { color: var(--muted); }
tr.answer > * { background: var(--wash); }
tr.answer > :first-child { box-shadow: inset 3px 0 0 var(--accent); padding-left: 12px; }
.share { width: 40%; min-width: 90px; }
.share svg { width: 100%; height: 10px; }
.path { list-style: none; margin: 0 0 36px; padding: 0; display: flex; flex-wrap: wrap; gap: 10px 0; font-size: 15px; }
.path li { display: flex; align-items: baseline; }
.path li + li::before { content: "\\2192"; color: var(--muted); padding: 0 14px; }
.path small { color: var(--muted); font-size: 13px; margin-left: 8px; }
.path li:last-child { color: var(--accent); font-weight: 600; }
.path li:last-child small { font-weight: 400; }
details { border-top: 1px solid var(--hair); border-bottom: 1px solid var(--hair); }
summary { cursor: pointer; padding: 12px 0; font-weight: 600; }
pre { margin: 0 0 16px; padding: 18px 20px; background: var(--sheet); border-radius: 4px; overflow-x: auto; }
pre, code { font: 13px/1.6 ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; }
.glossary { display: grid; grid-template-columns: 210px minmax(0, 1fr); gap: 0 32px; margin: 20px 0 0; font-size: 15px; }
.glossary dt { font-weight: 600; padding-top: 14px; border-top: 1px solid var(--hair); }
.glossary dd { margin: 0; padding: 14px 0; border-top: 1px solid var(--hair); }
.glossary .formula { display: block; font-family: "STIX Two Text", "Cambria Math", Georgia, "Times New Roman", serif; font-size: 17px; margin-top: 2px; }
.glossary .formula i { padding-right: 1px; }
footer { padding-top: 72px; padding-bottom: 56px; color: var(--muted); font-size: 14px; }

@media screen and (max-width: 860px) {
  .grid2, .grid3 { grid-template-columns: minmax(0, 1fr); }
  .hero { grid-template-columns: minmax(0, 1fr); gap: 36px; }
  .facts { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .squares svg { max-width: 180px; }
}
@media screen and (max-width: 720px) {
  main, header, footer { padding-left: 20px; padding-right: 20px; }
  header { padding-top: 40px; }
  section { padding-top: 52px; }
  .hero h1 { font-size: 38px; }
  .verdict { font-size: 18px; }
  .facts .figure { font-size: 24px; }
  .facts > div { padding: 14px 0; }
  .facts { margin-top: 36px; gap: 0 20px; }
  h2 { font-size: 23px; }
  .wide { display: none; } .narrow { display: block; }
  .narrow > svg { width: 100%; max-width: 480px; }
  th, td { padding-left: 18px; }
  .fit th, .fit td { white-space: normal; font-size: 14px; }
  .fit :not(:first-child) { padding-left: 12px; }
  .glossary { grid-template-columns: minmax(0, 1fr); }
  .glossary dd { border-top: 0; padding-top: 2px; }
  .path li + li::before { padding: 0 8px; }
}
@media print {
  body { font-size: 11pt; }
  header { padding-top: 0; }
  .hero { grid-template-columns: minmax(0, 1fr) 170px; gap: 40px; }
  .hero h1 { font-size: 42px; }
  .verdict { font-size: 17px; }
  .facts .figure { font-size: 24px; }
  main, header, footer { max-width: none; padding-left: 0; padding-right: 0; }
  section { padding-top: 32px; }
  h2, h3 { break-after: avoid; }
  nav, .tip { display: none; }
  .scroll { overflow: visible; max-height: none; }
  .scroll thead th { position: static; }
  tr, .facts, .hero { break-inside: avoid; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
`;
