import { describe, expect, it } from "vitest";
import { dense } from "../../src/network/architecture.ts";
import { type ReportInput, renderReport } from "../../src/report/report.ts";
import {
  blackBoxRun,
  cartPoleRun,
  imageNetwork,
  imageRun,
  nothingSmallerRun,
  observationsRun,
  policyOf,
  sideOf,
} from "./synthetic.ts";

const voids = new Set(["meta", "!doctype"]);

/** Tags that are opened and not closed in order, attributes without quotes, and ids that occur twice: all must be none. */
function faultsOf(page: string): string[] {
  const body = page.replace(/<(style|script)>[\s\S]*?<\/\1>/g, "");
  const faults: string[] = [];
  const open: string[] = [];
  const ids = new Set<string>();
  for (const [tag, closing = "", name = "", attributes = ""] of body.matchAll(/<(\/?)([!a-z][a-z0-9]*)([^>]*)>/g)) {
    if (closing === "/") {
      if (open.pop() !== name) faults.push(`${tag} closes another`);
      continue;
    }
    if (name !== "!doctype" && !/^(\s+[a-zA-Z0-9:-]+="[^"<]*")*\s*\/?$/.test(attributes)) faults.push(tag);
    const id = /\sid="([^"]*)"/.exec(attributes)?.[1];
    if (id !== undefined && ids.size === ids.add(id).size) faults.push(`id ${id} twice`);
    if (!voids.has(name) && !attributes.endsWith("/")) open.push(name);
  }
  for (const [, target = ""] of body.matchAll(/(?:href="#|aria-labelledby="|aria-describedby=")([^"]*)"/g)) {
    if (!ids.has(target)) faults.push(`nothing has id ${target}`);
  }
  return [...faults, ...open];
}

/** Text of the page without tags, as a reader meets it. */
function textOf(page: string): string {
  return page
    .replace(/<(style|script)>[\s\S]*?<\/\1>/g, "")
    .replace(/<[^>]*>/g, " ")
    .replaceAll("\u00a0", " ")
    .replace(/\s+/g, " ");
}

const headings = (page: string): string[] => [...page.matchAll(/<h2 [^>]*>([^<]*)</g)].map((match) => match[1] ?? "");

const run = cartPoleRun();
const page = renderReport(run);
const text = textOf(page);

const manyPoints = cartPoleRun({ trainingEvents: 5000 });
const justStarted: ReportInput = {
  ...run,
  events: run.events.slice(0, 3),
  result: { ...run.result, steps: run.result.steps.slice(0, 1), seconds: {}, versions: {} },
};
const deep = policyOf(dense(4, new Array<number>(63).fill(3), 2, "logits"));
/** Few enough numbers to be printed, over far too many inputs. */
const oneFilter = policyOf({
  ...imageNetwork([1, 1, 1], []),
  layers: [
    { kind: "conv", units: 1, kernel: [2, 3], stride: [42, 41], padding: [0, 1, 0, 0], activation: "tanh" },
    { kind: "dense", units: 3, activation: "none" },
  ],
});
const images = imageRun();
const variants: [string, ReportInput][] = [
  ["networks over images", images],
  [
    "one filter over images",
    {
      ...images,
      policy: oneFilter,
      result: { ...images.result, policy: sideOf(oneFilter, images.result.policy.score, 1) },
    },
  ],
  ["a whole run", run],
  ["an imported teacher", cartPoleRun({ imported: true })],
  ["nothing smaller", nothingSmallerRun()],
  ["logged observations", observationsRun()],
  ["a black box", blackBoxRun()],
  ["a black box that nothing smaller took the place of", blackBoxRun(false)],
  ["no events and no steps", { ...run, events: [], result: { ...run.result, steps: [] } }],
  ["one point", justStarted],
  ["5,000 training events", manyPoints],
  ["64 layers", { ...run, policy: deep, result: { ...run.result, policy: sideOf(deep, run.result.policy.score, 1) } }],
];

describe("renderReport", () => {
  it.each(variants)("is well-formed, with unique ids and no dangling references: %s", (_, input) => {
    expect(faultsOf(renderReport(input))).toEqual([]);
  });

  it.each(variants)("never draws at a coordinate that is not a number: %s", (_, input) => {
    expect(renderReport(input)).not.toMatch(/NaN|Infinity|undefined/);
  });

  it("gives equal bytes for equal inputs", () => {
    expect(renderReport(cartPoleRun())).toBe(page);
  });

  it("says in its headline what became of how many weights, and whether it is proven", () => {
    expect(text).toContain("99,584 weights → 8 weights");
    expect(text).toContain("0.008 % 12,448 times fewer weights");
    expect(text).toMatch(/it scores 498\.3 on average; the 95 % lower bound, 497\.7, reaches the objective of 475\./);
  });

  it("adds the stages up to the total once", () => {
    expect(text).toContain("teacher 24 s 24.9 %");
    expect(text).toContain("proof 0.8 s 0.8 % Total 1 min 37 s");
  });

  it("says plainly that nothing smaller passed", () => {
    const plain = textOf(renderReport(nothingSmallerRun()));
    expect(plain).toContain("No policy smaller than the teacher passed the proof");
    expect(plain).toContain("no smaller than the teacher");
    expect(plain).not.toContain("times fewer");
  });

  it("does not call a score proven whose lower bound misses the objective", () => {
    const plain = textOf(renderReport({ ...run, result: { ...run.result, objective: 499 } }));
    expect(plain).toContain("does not reach the objective of 499");
    expect(plain).toContain("misses the objective");
  });

  it("says plainly that no return was measured where there was no environment, and what was measured instead", () => {
    const plain = textOf(renderReport(observationsRun()));
    expect(plain).toMatch(/^ CartPole-v1\.npz: .* PoPS report CartPole-v1\.npz · PoPS report /);
    expect(plain).toContain(
      "No return was measured. There was no environment: what is proven is how often the policy acts as",
    );
    expect(plain).toContain(
      "Over 25 blocks that played no part in its making it agrees with the teacher on 99.7 % of the observations",
    );
    expect(plain).toContain("the 95 % lower bound, 99.5 %, reaches the objective of 95 %.");
    expect(plain).toContain("Proven agreement 99.7 % mean of 25 held-out blocks");
    expect(plain).toContain("Agreement, mean 100 % 99.7 %");
    expect(plain).toContain("KL from the teacher, nats – 0.0123");
    expect(plain).toContain("Environment none: no return was measured Observations CartPole-v1.npz");
    expect(plain).toContain("Held out for the proof 25,000 observations in 25 blocks");
    expect(plain).toContain("Agreement with the teacher Mean over n logged blocks");
    expect(plain).not.toMatch(/\bscore|episode/i);
  });

  it("puts every size and score of teacher and policy side by side", () => {
    expect(text).toContain("Weights 99,584 8 0.008 %");
    expect(text).toContain("Biases 642 2 0.31 %");
    expect(text).toContain("Bytes, float32 400,904 40 0.01 %");
    expect(text).toContain("Latency of a decision, µs 71.4 0.09 0.13 %");
    expect(text).toContain("Score, 95 % interval 499.4 to 499.8 497.6 to 499.0");
    expect(text).toContain("Score, mean of 100 other episodes (99.9 %) 498.5 to 500.7 494.5 to 502.1");
    expect(text).toContain("Held-out episodes 1,000 1,000");
  });

  it("has its sections in the order of the method", () => {
    expect(headings(page)).toEqual([
      "Teacher and policy",
      "Score against size",
      "Before and after",
      "Training the teacher",
      "Pruning under the gate",
      "Redundancy by layer",
      "Weights",
      "All policies tried",
      "Time",
      "Configuration and versions",
      "Glossary",
    ]);
  });

  it("says what a black box is instead of drawing it, and draws the policy", () => {
    const boxed = renderReport(blackBoxRun());
    expect(textOf(boxed)).toContain("A black box: an ONNX model of 17 nodes that was run as it is.");
    expect(boxed).not.toContain("histogram-teacher");
    expect(boxed).toContain('id="after');
    expect(headings(renderReport(blackBoxRun(false)))).not.toContain("Weights");
  });

  it("leaves out the training of an imported teacher", () => {
    const titles = headings(renderReport(cartPoleRun({ imported: true })));
    expect(titles).not.toContain("Training the teacher");
    expect(titles).toContain("Pruning under the gate");
  });

  it("leaves out pruning and redundancy when nothing was pruned", () => {
    const titles = headings(renderReport(justStarted));
    expect(titles).not.toContain("Pruning under the gate");
    expect(titles).not.toContain("Redundancy by layer");
  });

  it("draws one mark for each policy tried, with its shape telling whether it passed", () => {
    const figure = /<svg[^>]*aria-labelledby="size-chart-wide-t"[\s\S]*?<\/svg>/.exec(page)?.[0] ?? "";
    const proofs = run.events.filter((event) => event.type === "proof");
    const others = run.result.steps.filter((step) => step.stage !== "proof");
    const failures = others.filter((step) => !step.passed).length + proofs.filter((proof) => !proof.passed).length;
    expect(figure.match(/class="mark"/g)).toHaveLength(others.length + proofs.length + 2);
    expect(figure.match(/class="cross /g)).toHaveLength(failures);
    expect(figure.match(/class="whisker /g)).toHaveLength(proofs.length + 2);
    expect(textOf(figure)).toMatch(/objective 475/);
  });

  it("shades one band a pause of the gate, in both panels", () => {
    const figure = /<svg[^>]*aria-labelledby="pruning-1-wide-t"[\s\S]*?<\/svg>/.exec(page)?.[0] ?? "";
    expect(figure.match(/class="band"/g)).toHaveLength(4);
  });

  it("says of each convolution its filters, kernel, stride and images", () => {
    const plain = renderReport(images);
    expect(textOf(plain)).toContain("4x84x84-32c8s4-64c4s2-64c3s1-512-3, 1,684,992 weights");
    expect(textOf(plain)).toContain(
      "conv_1: 32 filters of 8×8 at a stride of 4, 4×84×84 to 32×20×20, 9 live; conv_2: 64 filters of 4×4 at a stride of 2, 32×20×20 to 64×9×9, 14 live;",
    );
    expect(plain).toContain('data-tip="conv_3 to dense_4: 1,605,632 weights"');
    expect(plain).toContain('data-tip="input to conv_1: 8,192 weights"');
    expect(textOf(renderReport(variants[1]![1]))).toContain(
      "conv_1: 1 filter of 2×3 at a stride of 42×41, 0, 1, 0, 0 zeros around, 4×84×84 to 1×2×3",
    );
  });

  it("draws images wider the larger they are, and filters higher the more there are", () => {
    const figure = /<svg[^>]*aria-labelledby="before-wide-t"[\s\S]*?<\/svg>/.exec(renderReport(images))?.[0] ?? "";
    const columns = [...figure.matchAll(/<rect class="unit"[^>]* width="([\d.]+)" height="([\d.]+)"/g)];
    const widths = columns.map(([, width]) => Number(width));
    expect(widths).toHaveLength(6);
    expect(widths).toEqual([38, 18.2, 14.8, 14.2, 12, 12]);
    const heights = columns.map(([, , height]) => Number(height));
    expect(heights).toEqual([4, 32, 64, 64, 512, 3].map((units) => Math.round(2000 * Math.sqrt(units / 512)) / 10));
  });

  it("says kernel/stride and the images' size below a convolution, and nothing of it where there is none", () => {
    const section = (input: string): string => /<section id="networks"[\s\S]*?<\/section>/.exec(input)?.[0] ?? "";
    expect(textOf(section(renderReport(images)))).toMatch(/conv_1 9 live 8×8\/4 20×20/);
    expect(textOf(section(renderReport(images)))).toContain("Convolutions have filters for units");
    expect(section(page)).not.toMatch(/×|Convolutions/);
  });

  it("stays small and prints no single weights of networks over images, however few they have", () => {
    expect(renderReport(images).length).toBeLessThan(300_000);
    const few = renderReport(variants[1]![1]);
    expect(textOf(few)).not.toContain("numbers of the policy");
    expect(few.length).toBeLessThan(300_000);
  });

  it("states the redundancy of a layer in numbers", () => {
    expect(text).toContain("dense_1: 62 of 1,024 weights not zero, 38 of 256 units live");
  });

  it("thins curves to 400 points", () => {
    const lengths = [...renderReport(manyPoints).matchAll(/<polyline [^>]*points="([^"]*)"/g)].map(
      (match) => (match[1] ?? "").split(" ").length,
    );
    expect(Math.max(...lengths)).toBeGreaterThan(300);
    expect(Math.max(...lengths)).toBeLessThanOrEqual(400);
  });

  it("prints every number of a policy of up to 64 parameters, and histograms of larger ones", () => {
    const policy = { ...run.policy, parameters: Float32Array.from([1.5, -2.25, 0.125, 0, 3, -4, 5, 6, -0.75, 0.5]) };
    const full = textOf(renderReport({ ...run, policy }));
    expect(full).toContain("All 10 numbers of the policy");
    expect(full).toContain(
      "input 0 1.50 \u22122.25 input 1 0.13 0.00 input 2 3.00 \u22124.00 input 3 5.00 6.00 bias \u22120.75 0.50",
    );
    const larger = policyOf(dense(4, [16], 2, "q-values"));
    const plain = renderReport({
      ...run,
      policy: larger,
      result: { ...run.result, policy: sideOf(larger, run.result.policy.score, 1) },
    });
    expect(textOf(plain)).not.toContain("numbers of the policy");
    expect(plain).toContain('id="histogram-policy-dense_1-t"');
  });

  it("counts every weight once in a histogram", () => {
    const figure = /<svg[^>]*aria-labelledby="histogram-teacher-dense_2-t"[\s\S]*?<\/svg>/.exec(page)?.[0] ?? "";
    const counts = [...figure.matchAll(/data-tip="[^"\n]*\n([\d,]+)"/g)].map((match) =>
      Number((match[1] ?? "").replaceAll(",", "")),
    );
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(65_536);
  });

  it("escapes everything that comes from data", () => {
    const evil = `"><img src=x onerror=alert(1)>'&`;
    const hostile = renderReport({
      ...run,
      config: `a: ${evil}\n</pre></details><script>alert(2)</script>`,
      result: {
        ...run.result,
        environment: evil,
        preset: evil,
        teacher: { ...run.result.teacher, layers: evil },
        policy: { ...run.result.policy, layers: evil },
        steps: run.result.steps.map((step) => ({ ...step, layers: evil })),
        seconds: { [evil]: 1 },
        versions: { [evil]: evil },
      },
      events: run.events.map((event) =>
        event.type === "redundancy"
          ? { ...event, layers: event.layers.map((layer) => ({ ...layer, name: evil })) }
          : event,
      ),
    });
    expect(hostile).not.toContain("<img");
    expect(hostile.match(/<script/g)).toHaveLength(1);
    expect(faultsOf(hostile)).toEqual([]);
    expect(hostile).toContain("&lt;/pre&gt;&lt;/details&gt;&lt;script&gt;alert(2)&lt;/script&gt;");
  });

  it("refers to nothing outside itself", () => {
    expect(page.replaceAll("http://www.w3.org/2000/svg", "")).not.toMatch(
      /https?:|\/\/[a-z]|url\(|@import|\ssrc=|<link/,
    );
  });

  it("gives every figure a name and a description, and every table a caption and scoped headers", () => {
    const figures = page.match(/<svg role="img"/g) ?? [];
    expect(figures.length).toBeGreaterThan(10);
    expect(page.match(/<title id=/g)).toHaveLength(figures.length);
    expect(page.match(/<desc id=/g)).toHaveLength(figures.length);
    expect(page.match(/<caption>/g)).toHaveLength(page.match(/<table>/g)?.length ?? 0);
    expect(page).not.toMatch(/<th(?![^>]*scope=)[ >]/);
  });
});
