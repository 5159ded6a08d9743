import { meanElsewhere } from "../evaluation/statistics.ts";
import { describe, layoutOf } from "../network/architecture.ts";
import type { Side } from "../run/result.ts";
import { atBothWidths, drawChart, FULL, HALF, type Mark, shortNumber, symbol } from "./charts.ts";
import { drawArchitecture, drawSquares, tallestOf } from "./drawings.ts";
import { integer, percent, plural, significant } from "./format.ts";
import { html, type Markup } from "./html.ts";
import { eventsOf, type ReportInput, type Section } from "./input.ts";
import { ELSEWHERE, subjectOf, tellingOf } from "./measure.ts";

/** Top of the page: what came out, in one line, and whether it is proven. */
export function headline({ result }: ReportInput): Markup {
  const { teacher, policy, objective } = result;
  const { name, unit, kind, value, objective: objectiveText } = tellingOf(result);
  const caution =
    kind === "return"
      ? undefined
      : html`<p class="caution"><strong>No return was measured.</strong> There was no environment: what is proven is how often the policy acts as its teacher does on logged observations that it has not learned from, not how well it plays.</p>`;
  const holds = policy.score.lower95 >= objective;
  const title = result.smaller
    ? html`<span class="was">${plural(teacher.weights, "weight")}</span> <span class="now">→ ${plural(policy.weights, "weight")}</span>`
    : html`<span class="was">Nothing smaller passed</span> <span class="now">${plural(policy.weights, "weight")} remain</span>`;
  const squares = result.smaller
    ? html`<figure class="squares">${drawSquares("squares", teacher.weights, policy.weights, 250)}<figcaption>Numbers of weights as areas, to scale.</figcaption></figure>`
    : undefined;
  return html`<header><p class="over">${subjectOf(result)} · PoPS report</p><div class="hero"><div><h1>${title}</h1><p class="verdict">${verdict(result, holds)}</p>${caution}</div>${squares}</div>
<dl class="facts"><div><dt>Share of the teacher</dt><dd><span class="figure">${percent(result.ratio)}</span><span class="note">${smallerBy(result.ratio)}</span></dd></div>
<div><dt>Proven ${name}</dt><dd><span class="figure">${value(policy.score.mean)}</span><span class="note">mean of ${plural(policy.score.episodes, `held-out ${unit}`)}${result.target === undefined ? undefined : html`, as ${result.target}`}</span></dd></div>
<div><dt>95 % lower bound</dt><dd><span class="figure">${value(policy.score.lower95)}</span><span class="note">${holds ? "reaches" : "misses"} the objective, ${objectiveText(objective)}</span></dd></div>
<div><dt>One decision</dt><dd><span class="figure">${significant(policy.latencyMicros)} µs</span><span class="note">teacher: ${significant(teacher.latencyMicros)} µs</span></dd></div></dl></header>`;
}

function smallerBy(ratio: number): string {
  return ratio > 0 && ratio < 1
    ? `${significant(1 / ratio, 1 / ratio < 100 ? 3 : 5)} times fewer weights`
    : "no smaller than the teacher";
}

function capital(name: string): string {
  return `${name[0]?.toUpperCase() ?? ""}${name.slice(1)}`;
}

/** A name that breaks over lines only when it is too long for one. */
function unbroken(name: string): Markup {
  return html`<span class="unbroken">${name}</span>`;
}

function verdict(result: ReportInput["result"], holds: boolean): Markup {
  const { policy, teacher, objective, smaller } = result;
  const { kind, unit, value, objective: objectiveText } = tellingOf(result);
  const subject = subjectOf(result);
  const does =
    kind === "return"
      ? `scores ${value(policy.score.mean)}`
      : `agrees with the teacher on ${value(policy.score.mean)} of the observations`;
  const proof = `Over ${plural(policy.score.episodes, unit)} that played no part in its making it ${does} on average; the 95 % lower bound, ${value(policy.score.lower95)}, ${holds ? "reaches" : "does not reach"} the objective of ${objectiveText(objective)}.`;
  if (!smaller) {
    return html`No policy smaller than the teacher passed the proof on ${unbroken(subject)}. The answer is the teacher itself. ${proof}`;
  }
  return html`A ${unbroken(policy.layers)} network ${holds ? (kind === "return" ? "does the work" : "acts in the place") : "took the place"} of the ${unbroken(teacher.layers)} teacher on ${unbroken(subject)}. ${proof}`;
}

/** Every size beside every other, teacher against policy. */
export function comparison({ result, events }: ReportInput): Section {
  const { teacher, policy } = result;
  const { name, unit, kind, value } = tellingOf(result);
  const title = capital(name);
  const { kl, squaredError } = policy.divergence ?? {};
  const apart = (label: string, distance: number | undefined): Markup | undefined =>
    distance === undefined ? undefined : row(label, (side) => (side === policy ? significant(distance) : "–"));
  const none = html`<span class="none">–</span>`;
  const left = eventsOf(events, "teacher-trained").flatMap(({ leftBehind }) =>
    leftBehind.map(({ name, layers, weights, biases }) => {
      return `a ${name} ${layers} of ${plural(weights, "weight")} and ${integer(biases)} biases`;
    }),
  );
  const row = (name: string, cell: (side: Side) => string, ratio?: number): Markup =>
    html`<tr><th scope="row">${name}</th><td>${cell(teacher)}</td><td class="strong">${cell(policy)}</td><td>${ratio === undefined || !Number.isFinite(ratio) ? none : percent(ratio)}</td></tr>`;
  const size = (name: string, value: (side: Side) => number): Markup =>
    row(name, (side) => integer(value(side)), value(policy) / value(teacher));
  return {
    id: "comparison",
    title: "Teacher and policy",
    content: html`<div class="box fit" tabindex="0" role="region" aria-label="Comparison of teacher and policy"><table><caption>The ratio is policy over teacher. No size tells the story alone.</caption>
<thead><tr><th scope="col">Measure</th><th scope="col">Teacher</th><th scope="col">Policy</th><th scope="col">Ratio</th></tr></thead><tbody>
${row("Layers", (side) => side.layers)}${size("Weights", (side) => side.weights)}${size("Biases", (side) => side.biases)}${size("Non-zero weights", (side) => side.nonZero)}${size("Bytes, float32", (side) => side.bytes)}${size("Multiply-adds a decision", (side) => side.macs)}${row("Latency of a decision, µs", (side) => significant(side.latencyMicros), policy.latencyMicros / teacher.latencyMicros)}${row(`${title}, mean`, (side) => value(side.score.mean), kind === "return" && teacher.score.mean > 0 && policy.score.mean > 0 ? policy.score.mean / teacher.score.mean : undefined)}${row(`${title}, 95 % lower bound`, (side) => value(side.score.lower95))}${row(`${title}, 95 % interval`, (side) => `${value(side.score.interval95[0])} to ${value(side.score.interval95[1])}`)}${kind === "return" ? row(`${title}, mean of ${ELSEWHERE} other episodes (99.9 %)`, (side) => meanElsewhere(side.score, ELSEWHERE).map(value).join(" to ")) : undefined}${row(`${title}, worst ${unit}`, (side) => value(side.score.min))}${teacher.sampled || policy.sampled ? row("Score with drawn actions, mean", (side) => (side.sampled ? value(side.sampled.mean) : "–")) : undefined}${apart("KL from the teacher, nats", kl)}${apart("Squared error, ranges of the action", squaredError)}${row(`Held-out ${unit}s`, (side) => integer(side.score.episodes))}
</tbody></table></div>${left.length > 0 ? html`<p class="lead">Left behind in training: ${left.join(", ")}. Only the policy ships.</p>` : undefined}`,
  };
}

/** Score against size for everything that was tried: the paper's figure. */
export function sizeFigure({ result, events }: ReportInput): Section {
  const { teacher, policy, objective } = result;
  const { name, unit, value, objective: objectiveText, kind } = tellingOf(result);
  const title = capital(name);
  const proofEvents = eventsOf(events, "proof");
  // The log tells more about proofs than the steps do.
  const steps = result.steps.filter((step) => proofEvents.length === 0 || step.stage !== "proof");
  const tried = steps.map(
    (step): Mark => ({
      x: step.weights,
      y: step.score,
      shape: step.passed ? "dot" : "cross",
      tone: step.passed ? "accent" : "muted",
      tip: `${step.layers}, ${plural(step.weights, "weight")}\n${step.stage}: ${value(step.score)} over ${plural(step.episodes, unit)}, ${step.passed ? "passed" : "failed"}`,
    }),
  );
  const proofs = proofEvents.map(
    (proof): Mark => ({
      x: proof.weights,
      y: proof.score.mean,
      interval: proof.score.interval95,
      shape: proof.passed ? "dot" : "cross",
      tone: proof.passed ? "accent" : "muted",
      tip: `${describe(proof.architecture)}, ${plural(proof.weights, "weight")}\nproof: ${value(proof.score.mean)}, lower bound ${value(proof.score.lower95)}, ${proof.passed ? "passed" : "failed"}`,
    }),
  );
  const named = (side: Side, who: string, shape: Mark["shape"], tone: Mark["tone"]): Mark => ({
    x: side.weights,
    y: side.score.mean,
    interval: side.score.interval95,
    shape,
    tone,
    label: [`${who}: ${value(side.score.mean)}`, plural(side.weights, "weight")],
    tip: `${who} ${side.layers}\n${value(side.score.mean)}, interval ${value(side.score.interval95[0])} to ${value(side.score.interval95[1])}`,
  });
  const ends = result.smaller
    ? [named(teacher, "Teacher", "diamond", "ink"), named(policy, "Answer", "star", "accent")]
    : [named(teacher, "Teacher, the answer", "diamond", "ink")];
  const passed = result.steps.filter((step) => step.passed).length;
  const chart = (id: string, width: number): Markup =>
    drawChart({
      id,
      title: `${title} against number of weights`,
      description: `${integer(passed)} of ${integer(result.steps.length)} tries passed. Teacher: ${plural(teacher.weights, "weight")}, ${name} ${value(teacher.score.mean)}. Answer: ${plural(policy.weights, "weight")}, ${name} ${value(policy.score.mean)}. Objective: ${objectiveText(objective)}.`,
      width,
      x: {
        label: "weights, logarithmic",
        log: true,
        format: (weights) =>
          width < FULL && weights >= 1000 ? `${shortNumber(weights / 1000)}k` : shortNumber(weights),
      },
      panels: [
        {
          label: name,
          ...(kind === "agreement" && { format: percent }),
          height: width > 500 ? 380 : 300,
          ticks: 5,
          rule: { name: "objective", value: objective },
          marks: [...tried, ...proofs, ...ends],
        },
      ],
    });
  const key = (shape: Mark["shape"], tone: Mark["tone"], text: string): Markup =>
    html`<span class="key"><svg aria-hidden="true" width="20" height="20" viewBox="0 0 20 20">${symbol({ shape, tone }, 10, 10)}</svg>${text}</span>`;
  return {
    id: "size",
    title: `${title} against size`,
    content: html`<p class="lead">Every policy that was tried. Error bars are 95 % intervals of proofs on held-out ${unit}s; other points are short evaluations.</p><figure>${atBothWidths("size-chart", FULL, chart)}<figcaption>${key("dot", "accent", "passed")}${key("cross", "muted", "failed")}${key("diamond", "ink", "teacher")}${result.smaller ? key("star", "accent", "answer") : undefined}</figcaption></figure>`,
  };
}

/** Both networks at one scale, with what pruning found redundant in the first. */
export function architectures({ result, events }: ReportInput): Section {
  const { teacher, policy } = result;
  const found = eventsOf(events, "redundancy").find((event) => describe(event.architecture) === teacher.layers);
  const live = found?.layers.map((layer) => layer.liveUnits);
  const tallest = Math.max(tallestOf(teacher.architecture), tallestOf(policy.architecture));
  const hasImages = [teacher, policy].some(
    ({ architecture }) => !("model" in architecture) && layoutOf(architecture).some(({ window }) => window),
  );
  const images = hasImages
    ? " Convolutions have filters for units; the wider they are drawn, the larger the images that they make. Below stand kernel/stride and the images' size."
    : "";
  const resized = eventsOf(events, "resized");
  const path = [
    { layers: teacher.layers, weights: teacher.weights },
    ...resized.map((event) => ({ layers: describe(event.to), weights: event.toWeights })),
    { layers: policy.layers, weights: policy.weights },
  ].filter((place, index, all) => place.layers !== all[index - 1]?.layers);
  const picture = (id: string, side: Side, name: string, kept?: readonly number[]): Markup => {
    const { architecture } = side;
    if ("model" in architecture) {
      const { nodes, weights, biases } = architecture.model;
      return html`<p>A black box: an ONNX model of ${plural(nodes, "node")} that was run as it is. Its tensors of two or more dimensions hold ${plural(weights, "number")}, counted as weights, the others ${integer(biases)}, counted as biases.</p>`;
    }
    return atBothWidths(id, HALF, (own, width) =>
      drawArchitecture({
        id: own,
        title: `${name} ${side.layers}`,
        architecture,
        tallest,
        ...(kept === undefined ? {} : { live: kept }),
        width,
      }),
    );
  };
  const part = (id: string, side: Side, name: string, kept?: readonly number[]): Markup =>
    html`<figure><h3>${name}</h3><p class="sub">${side.layers}, ${plural(side.weights, "weight")}</p>${picture(id, side, name, kept)}</figure>`;
  const shading =
    found === undefined
      ? undefined
      : ` Coloured in the teacher: the units that still had live connections after pruning ${percent(found.sparsity)} of its weights.`;
  return {
    id: "networks",
    title: "Before and after",
    content: html`<p class="lead">Both networks at one scale: the height of a layer is the square root of its number of units.${images}${shading}</p>${path.length > 1 ? html`<ol class="path">${path.map((place) => html`<li><span>${place.layers}<small>${integer(place.weights)}</small></span></li>`)}</ol>` : undefined}<div class="grid2">${part("before", teacher, "Teacher", live)}${part("after", policy, result.smaller ? "Policy" : "Answer, the teacher itself")}</div>`,
  };
}
