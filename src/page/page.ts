import { fileURLToPath } from "node:url";
import type { Picture } from "../environment/environment.ts";
import { builtInIds, specOf } from "../environment/registry.ts";
import { UsageError } from "../errors.ts";
import { policyToJs } from "../exporting/js.ts";
import { policyToSafetensors } from "../exporting/safetensors.ts";
import { checkFits, countsOf, describe } from "../network/architecture.ts";
import { nonZeroOf, type Policy } from "../network/policy.ts";
import { integer, plural, score as scoreText } from "../report/format.ts";
import { html, type Markup, pageHead, trusted } from "../report/html.ts";
import { palette } from "../report/style.ts";
import { sha256 } from "../seal.ts";

const EXTENSION = import.meta.url.endsWith(".ts") ? "ts" : "js";
const moduleOf = (name: string): string => fileURLToPath(new URL(`./${name}.${EXTENSION}`, import.meta.url));

/** Pixels of the canvas across, at least. */
const SHARP = 640;

/**
 * A page that plays a policy in its environment: one HTML file that needs nothing else and asks for nothing. It holds the
 * policy as `policyToJs` writes it, and the environment's own code. Its content security policy admits its own style sheet
 * and script by their hashes and refuses all else. Equal policies give equal text.
 *
 * @param environment id of one that is built in; by default the policy's
 * @throws UsageError when that environment is not built in, or the policy does not fit it
 * @throws ShapeError as `policyToJs` does
 */
export async function policyToPage(policy: Policy, environment = policy.environment): Promise<string> {
  const id = playable(environment);
  const spec = specOf(id);
  checkFits(policy.architecture, spec);
  const { code } = policyToJs(policy);
  const script = `${await playerCode()}\n${code}\npops.play(window, act, ${JSON.stringify(id)});\n`;
  return html`${pageHead(`${id}: ${describe(policy.architecture)} · PoPS`, styleSheet, script)}
<body>
<main>
<h1>${id}</h1>
<p class="lead">Played by a network of ${plural(countsOf(policy.architecture).weights, "weight")}, in this page: both are in its code.</p>
<noscript><p>It needs JavaScript.</p></noscript>
${spec.picture && canvas(id, spec.picture)}
<p class="controls"><button type="button" id="pause">Pause</button> <button type="button" id="step">Step</button> <button type="button" id="next">New episode</button></p>
<dl class="now"><div><dt>Episode</dt><dd id="episode"></dd></div><div><dt>Seed</dt><dd id="seed"></dd></div><div><dt>Steps</dt><dd id="steps"></dd></div><div><dt>Return</dt><dd id="return"></dd></div></dl>
<p id="ended" role="status"></p>
<h2>The policy</h2>
<dl class="facts">${facts(policy, code).map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>\n`)}</dl>
</main>
<script type="module">${trusted(script)}</script>
</body>
</html>
`.text;
}

/**
 * The id of an environment that a page can play.
 * @throws UsageError when it is another, or none
 */
export function playable(environment: string | undefined): string {
  if (environment !== undefined && builtInIds.includes(environment)) return environment;
  const found = environment === undefined ? "the policy names none" : `${environment} cannot run in a page`;
  throw new UsageError("environment", `${found}: state one that is built in (${builtInIds.join(", ")})`);
}

function canvas(id: string, { width, height }: Picture): Markup {
  const finer = Math.max(2, Math.round(SHARP / width));
  const [across, down] = [width * finer, height * finer].map(String);
  return html`<canvas id="picture" role="img" aria-label="${id} as the policy plays it" width="${across}" height="${down}"></canvas>`;
}

/** What is to be known of a policy, by name. */
function facts(policy: Policy, code: string): [name: string, value: string][] {
  const { architecture, score, environment, provenance } = policy;
  const { weights, biases, macs } = countsOf(architecture);
  const nonZero = nonZeroOf(policy);
  return [
    ["Layers", describe(architecture)],
    ["Weights", nonZero === weights ? integer(weights) : `${integer(weights)}, ${integer(nonZero)} of them not 0`],
    ["Biases", integer(biases)],
    ["Multiply-adds a step", integer(macs)],
    ["Code", plural(code.length, "byte")],
    ["SHA-256", sha256(policyToSafetensors(policy))],
    ...(environment === undefined ? [] : ([["Made for", environment]] as const)),
    ...(score
      ? ([
          ["Proven return", `${scoreText(score.mean)}, mean of ${plural(score.episodes, "held-out episode")}`],
        ] as const)
      : []),
    ...Object.entries(provenance),
  ].map(([name, value]) => [name, value]);
}

/** The program that plays, with all environments: a script that declares `pops`. */
async function playerCode(): Promise<string> {
  // Loading it takes some 40 ms, which other commands need not wait for.
  const { build } = await import("esbuild");
  const { outputFiles } = await build({
    entryPoints: [moduleOf("player")],
    alias: { zod: moduleOf("no-schemas") },
    bundle: true,
    minify: true,
    format: "iife",
    globalName: "pops",
    platform: "browser",
    target: "es2022",
    charset: "ascii",
    write: false,
    logLevel: "silent",
  });
  return outputFiles.map(({ text }) => text).join("");
}

const styleSheet = `
${palette}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.6 system-ui, sans-serif; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
main { max-width: 680px; margin: 0 auto; padding: 40px 20px; }
h1, h2 { font-weight: 600; line-height: 1.15; letter-spacing: -0.015em; margin: 0 0 8px; }
h2 { font-size: 20px; margin-top: 40px; }
.lead { color: var(--muted); margin: 0 0 24px; }
canvas { display: block; width: 100%; height: auto; max-height: 64vh; object-fit: contain; border: 1px solid var(--hair); border-radius: 4px; }
.controls { margin: 16px 0; }
button { font: inherit; color: var(--ink); background: var(--sheet); border: 1px solid var(--faint); border-radius: 4px; padding: 6px 16px; cursor: pointer; }
button:hover { border-color: var(--accent); }
button:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
#pause { min-width: 88px; }
#ended { min-height: 1.6em; color: var(--muted); }
dl { margin: 0; }
dt { color: var(--muted); font-size: 14px; }
dd { margin: 0; }
.now { display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); gap: 0 20px; }
.now dd { font-size: 20px; font-weight: 600; min-height: 1.6em; }
.facts > div { display: grid; grid-template-columns: 180px minmax(0, 1fr); gap: 0 20px; padding: 8px 0; border-top: 1px solid var(--hair); }
@media (max-width: 480px) { .now { grid-template-columns: repeat(2, minmax(0, 1fr)); } .facts > div { grid-template-columns: minmax(0, 1fr); } }
`;
