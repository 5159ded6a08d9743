import { duration, integer, percent, plural, significant } from "./format.ts";
import { html, type Markup } from "./html.ts";
import type { ReportInput, Section } from "./input.ts";
import { ELSEWHERE, type Telling, tellingOf } from "./measure.ts";

/** Everything that was tried, as numbers. */
export function tried({ result }: ReportInput): Section {
  const { steps } = result;
  const { name, unit, value } = tellingOf(result);
  const answer = steps.findLastIndex(
    (step) => step.layers === result.policy.layers && step.passed && step.episodes === result.policy.score.episodes,
  );
  const rows = steps.map(
    (step, index) =>
      html`<tr${index === answer ? html` class="answer"` : undefined}><td>${String(index + 1)}</td><td class="text">${step.stage}</td><td>${step.iteration === 0 ? "–" : String(step.iteration)}</td><th scope="row" class="text">${step.layers}</th><td>${integer(step.weights)}</td><td>${percent(step.weights / result.teacher.weights)}</td><td>${value(step.score)}</td><td>${integer(step.episodes)}</td><td class="text">${step.passed ? html`<span class="strong">● passed</span>` : html`<span class="none">× failed</span>`}</td></tr>`,
  );
  return {
    id: "tried",
    title: "All policies tried",
    content: html`<p class="lead">Weights are counted as they are stored, zeros included; the share is of the teacher's.</p><div class="scroll" tabindex="0" role="region" aria-label="All policies tried"><table><caption>${plural(steps.length, "evaluation")}, in order</caption><thead><tr><th scope="col">#</th><th scope="col" class="text">Stage</th><th scope="col">Iteration</th><th scope="col" class="text">Layers</th><th scope="col">Weights</th><th scope="col">Share</th><th scope="col">${name === "score" ? "Score" : "Agreement"}</th><th scope="col">${unit === "episode" ? "Episodes" : "Blocks"}</th><th scope="col" class="text">Gate</th></tr></thead><tbody>${rows}</tbody></table></div>`,
  };
}

/** Where the time went. */
export function timing({ result }: ReportInput): Section | undefined {
  // `total` is in there too, for readers of result.json.
  const stages = Object.entries(result.seconds).filter(([stage]) => stage !== "total");
  if (stages.length === 0) return undefined;
  const total = stages.reduce((sum, [, seconds]) => sum + seconds, 0);
  const share = (seconds: number): number => (total > 0 ? seconds / total : 0);
  const bar = (seconds: number): Markup =>
    html`<svg aria-hidden="true" viewBox="0 0 100 10" preserveAspectRatio="none" width="100" height="10"><rect class="track" width="100" height="10"/><rect class="fill-accent" width="${100 * share(seconds)}" height="10"/></svg>`;
  return {
    id: "time",
    title: "Time",
    content: html`<div class="box" tabindex="0" role="region" aria-label="Time per stage"><table><caption>Wall-clock time over all sessions of the run.</caption><thead><tr><th scope="col">Stage</th><th scope="col">Time</th><th scope="col">Share</th><th scope="col"><span aria-hidden="true"></span></th></tr></thead><tbody>${stages.map(
      ([stage, seconds]) =>
        html`<tr><th scope="row">${stage}</th><td>${duration(seconds)}</td><td>${(100 * share(seconds)).toFixed(1)}\u00a0%</td><td class="share">${bar(seconds)}</td></tr>`,
    )}<tr><th scope="row">Total</th><td class="strong">${duration(total)}</td><td></td><td></td></tr></tbody></table></div>`,
  };
}

/** What is needed to run it again. */
export function reproduction({ result, config }: ReportInput): Section {
  const { objective } = tellingOf(result);
  const facts: [string, string][] = [
    ...groundOf(result),
    ["Preset", result.preset],
    ["Seed", String(result.seed)],
    ["Objective", objective(result.objective)],
    ...Object.entries(result.versions),
  ];
  return {
    id: "reproduction",
    title: "Configuration and versions",
    content: html`<div class="box" tabindex="0" role="region" aria-label="Environment and versions"><table><caption>Environment and versions</caption><thead><tr><th scope="col">Name</th><th scope="col" class="text">Value</th></tr></thead><tbody>${facts.map(([name, value]) => html`<tr><th scope="row">${name}</th><td class="text wrap">${value}</td></tr>`)}</tbody></table></div>
<details class="gap"><summary>Effective configuration</summary><pre tabindex="0">${config}</pre></details>`,
  };
}

/** What the run stood on. */
function groundOf({ environment, observations, teacher }: ReportInput["result"]): [string, string][] {
  if (!observations) return [["Environment", environment ?? ""]];
  const { file, sha256, by, training, selection, proof, tolerance } = observations;
  const part = ({ units, observations: rows }: typeof proof): string =>
    `${plural(rows, "observation")} in ${plural(units, by)}`;
  return [
    ["Environment", "none: no return was measured"],
    ["Observations", file],
    ["Their SHA-256", sha256],
    ["To learn from", part(training)],
    ["To decide by", part(selection)],
    ["Held out for the proof", part(proof)],
    ...(teacher.architecture.gaussian
      ? [["Tolerance, ranges of the action", significant(tolerance)] satisfies [string, string]]
      : []),
  ];
}

const bar = (symbol: string): Markup => html`<i>${symbol}\u0304</i>`;

/** What the page's scores are. */
function scoreEntry(
  { kind, unit }: Telling,
  acting: ReportInput["result"]["acting"],
): [name: string, meaning: string, formula: Markup] {
  if (kind === "return") {
    return [
      "Score",
      `Mean return of n episodes of ${acting === "greedy" ? "greedy" : "drawn"} actions, G being the undiscounted sum of an episode's rewards.`,
      html`${bar("G")} = (<i>G</i><sub>1</sub> + … + <i>G</i><sub><i>n</i></sub>) / <i>n</i>`,
    ];
  }
  return [
    "Agreement with the teacher",
    `Mean over n logged ${unit}s, G being the share of a ${unit}'s observations on which the greedy action is the teacher's; continuous actions may differ by the tolerance in each dimension. It is no return.`,
    html`${bar("G")} = (<i>G</i><sub>1</sub> + … + <i>G</i><sub><i>n</i></sub>) / <i>n</i>`,
  ];
}

const ELSEWHERE_ENTRY: [name: string, meaning: string, formula: Markup] = [
  `Mean of ${ELSEWHERE} other episodes`,
  `Between which numbers the mean falls when somebody plays the same policy for ${ELSEWHERE} more episodes, but for 1 case of 1,000; t is a quantile of Student's distribution.`,
  html`${bar("G")} ± <i>t</i> · <i>s</i> · √(1/<i>n</i> + 1/${ELSEWHERE})`,
];

/** Every metric of the page with its formula. */
export function glossary({ result }: ReportInput): Section {
  const telling = tellingOf(result);
  const { unit, kind } = telling;
  const entries: [name: string, meaning: string, formula: Markup][] = [
    scoreEntry(telling, result.acting),
    [
      "95 % lower bound",
      "One-sided: were the true mean below it, a sample as good as this one would occur in at most 5 % of cases.",
      html`P(<i>L</i> ≤ <i>μ</i>) ≥ 0.95`,
    ],
    [
      "95 % interval",
      `Two-sided, by bootstrap: quantiles of the mean over resamples of the ${unit}s, drawn with replacement.`,
      html`[<i>q</i><sub>0.025</sub>(${bar("G")}*), <i>q</i><sub>0.975</sub>(${bar("G")}*)]`,
    ],
    ...(kind === "return" ? [ELSEWHERE_ENTRY] : []),
    [
      "Objective",
      `${kind === "return" ? "The score that counts as solving the task" : "The agreement that is asked for"}. A policy is proven when its lower bound on held-out ${unit}s reaches it.`,
      html`passed ⇔ <i>L</i> ≥ objective`,
    ],
    [
      "Weights",
      "Entries of the weight matrices and kernels as they are stored and run, zeros included, biases not: n units or filters in a layer, each of which takes m numbers (a filter: the channels times the places of its kernel).",
      html`<i>W</i> = Σ<sub><i>l</i></sub> <i>m</i><sub><i>l</i></sub> · <i>n</i><sub><i>l</i></sub>`,
    ],
    ["Biases", "One a unit or filter.", html`<i>B</i> = Σ<sub><i>l</i></sub> <i>n</i><sub><i>l</i></sub>`],
    [
      "Non-zero weights",
      "Weights that are not exactly 0. Only sparse kernels profit from zeros; dense ones compute them all.",
      html`|{<i>w</i> : <i>w</i> ≠ 0}|`,
    ],
    [
      "Ratio",
      "Weights of the policy over weights of the teacher.",
      html`<i>W</i><sub>policy</sub> / <i>W</i><sub>teacher</sub>`,
    ],
    [
      "Bytes",
      "Size of all parameters in float32, without file headers; S numbers are the statistics of a normalisation, if there is one.",
      html`4 · (<i>W</i> + <i>B</i> + <i>S</i>)`,
    ],
    [
      "Multiply-adds",
      "Of one forward pass: each weight once, those of a convolution at each of the p positions of its kernel.",
      html`MACs = Σ<sub><i>l</i></sub> <i>m</i><sub><i>l</i></sub> · <i>n</i><sub><i>l</i></sub> · <i>p</i><sub><i>l</i></sub>`,
    ],
    [
      "Latency",
      "Median time of one decision, batch size 1, plain typed arrays, on the machine of the run.",
      html`median(<i>t</i>)`,
    ],
    ["Sparsity", "Fraction of weights that pruning has set to 0.", html`1 − |{<i>w</i> : <i>w</i> ≠ 0}| / <i>W</i>`],
    [
      "Live unit",
      "A hidden unit or filter on a path of non-zero weights from an input to an output. Others cannot carry information.",
      html`live ⇔ ∃ path input → unit → output with all <i>w</i> ≠ 0`,
    ],
    ...(kind === "return"
      ? [
          [
            "Agreement",
            "Fraction of held-out teacher states on which student and teacher choose the same action.",
            html`P(argmax student = argmax teacher)`,
          ] satisfies [string, string, Markup],
        ]
      : []),
    [
      "Gradient step",
      "One update of the parameters from one batch. Counted from the beginning of the run, over all stages.",
      html`<i>θ</i> ← <i>θ</i> − <i>η</i> · <i>u</i>(∇loss)`,
    ],
  ];
  return {
    id: "glossary",
    title: "Glossary",
    content: html`<dl class="glossary">${entries.map(([name, meaning, formula]) => html`<dt>${name}</dt><dd>${meaning}<span class="formula">${formula}</span></dd>`)}</dl>`,
  };
}
