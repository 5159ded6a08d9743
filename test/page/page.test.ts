import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import fc from "fast-check";
import type { Browser, Page } from "playwright-core";
import { describe, expect, it } from "vitest";
import { zooEntry, zooPath } from "../../src/cli/zoo.ts";
import { builtInIds, specOf } from "../../src/environment/registry.ts";
import { makeVector } from "../../src/environment/vector.ts";
import { UsageError } from "../../src/errors.ts";
import { Evaluator } from "../../src/evaluation/evaluate.ts";
import { policyToJs } from "../../src/exporting/js.ts";
import { loadPolicy } from "../../src/importing/load.ts";
import { argmax } from "../../src/network/action.ts";
import { dense, inputSize } from "../../src/network/architecture.ts";
import type { Policy } from "../../src/network/policy.ts";
import { predictor } from "../../src/network/predict.ts";
import { policyToPage } from "../../src/page/page.ts";
import { stream } from "../../src/random/pcg64.ts";
import { barriersOf, browserFor, NEEDS_CHROMIUM, type Opened, open, withChromium } from "../browser.ts";
import { randomParameters } from "../network/architectures.ts";

const MINUTES = 60_000;
const fromZoo = (name: string): Promise<Policy> => loadPolicy(zooPath(zooEntry(name)));
const architecture = dense(4, [3], 2, "q-values");
/** It falls after a few steps. */
const clumsy: Policy = {
  architecture,
  parameters: randomParameters(architecture, 1),
  environment: "CartPole-v1",
  provenance: {},
};
const hostile = [
  ...['"', "'", "`\u0024{1}`", "\\", "\n", "*/", "</script><script>alert(1)</script>", "<!--<script>", "-->", "]]>"],
  ...["\u2028", "</style>", "<img src=x onerror=alert(1)>", "&lt;", "\ud800", "__proto__"],
];

it("every built-in environment says how it is shown", () => {
  for (const id of builtInIds) expect(specOf(id).picture?.stepsPerSecond, id).toBeGreaterThanOrEqual(10);
});

it.each(["gymnasium:CartPole-v1", "ale:Pong", "Mine-v0", undefined])(
  "a page for %s is refused",
  async (environment) => {
    const { parameters, provenance } = clumsy;
    const made = environment === undefined ? {} : { environment };
    const page = policyToPage({ architecture, parameters, provenance, ...made });
    await expect(page).rejects.toThrow(UsageError);
    await expect(page).rejects.toThrow(/^environment: .*: state one that is built in \(CartPole-v0, CartPole-v1, /);
  },
);

it("a policy that does not fit the environment is refused", async () => {
  await expect(policyToPage(clumsy, "Acrobot-v1")).rejects.toThrow(/takes observations of shape \[4\]/);
});

it("equal policies give equal pages", async () => {
  expect(await policyToPage({ ...clumsy })).toBe(await policyToPage(clumsy));
});

it("nothing that a policy says of itself ends the page's script or begins markup", {
  timeout: 4 * MINUTES,
}, async () => {
  const skeleton = (text: string): string[] => text.match(/<\/?(?:script|style|img|!--)/gi) ?? [];
  const expected = skeleton(await policyToPage(clumsy));
  expect(expected).toEqual(["<style", "</style", "<script", "</script"]);
  const text = fc.array(fc.oneof(fc.constantFrom(...hostile), fc.string({ unit: "binary" })), { maxLength: 4 });
  const short = text.map((parts) => parts.join("").slice(0, 100));
  await fc.assert(
    fc.asyncProperty(
      fc.dictionary(short, short, { maxKeys: 4, noNullPrototype: true }),
      short,
      async (provenance, environment) => {
        const page = await policyToPage({ ...clumsy, provenance, environment }, "CartPole-v1");
        expect(skeleton(page)).toEqual(expected);
      },
    ),
    { numRuns: 15 },
  );
});

describe.skipIf(!withChromium)(`in a browser (${NEEDS_CHROMIUM})`, () => {
  const running = browserFor("pops-page-");
  const { folder } = running;

  async function openPage(
    policy: Policy,
    options: Parameters<Browser["newPage"]>[0] = {},
    environment = policy.environment,
  ): Promise<Opened> {
    const file = join(folder, "page.html");
    writeFileSync(file, await policyToPage(policy, environment));
    return open(running.browser, pathToFileURL(file).href, options);
  }
  const textOf = (page: Page, id: string): Promise<string | null> => page.locator(`#${id}`).textContent();

  /** Plays so many whole episodes by the button for a step; what the page says at the end of each. */
  const episodes = (page: Page, count: number): Promise<string[]> =>
    page.evaluate(`(() => {
      const [step, ended] = ["step", "ended"].map((id) => document.getElementById(id));
      const said = [];
      while (said.length < ${count}) {
        step.click();
        if (ended.textContent !== (said.at(-1) ?? "")) said.push(ended.textContent);
      }
      return said;
    })()`);

  const players: [name: string, policy: () => Promise<Policy>][] = [
    ["a clumsy policy of CartPole-v1", () => Promise.resolve(clumsy)],
    ...[
      ...["CartPole-v1", "Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0", "Pendulum-v1"],
      ...["LunarLander-v3", "LunarLanderContinuous-v3", "MiniBreakout-v0"],
    ].map((id): [string, () => Promise<Policy>] => [`the zoo's policy of ${id}`, () => fromZoo(`${id}-policy`)]),
  ];
  it.each(players)(
    "%s gets the returns that pops evaluate measures, and the page asks for nothing",
    { timeout: 4 * MINUTES },
    async (_, load) => {
      const policy = await load();
      const evaluator = await Evaluator.create(policy.architecture, makeVector(policy.environment ?? "", 2));
      const returns = await evaluator.returns(policy.parameters, 1, "evaluate", 2);
      await evaluator.dispose();
      const { page, complaints, requests } = await openPage(policy, { reducedMotion: "reduce" });
      const said = await episodes(page, 2);
      const shown = said.map((text) => Number(/with a return of (-?[\d.]+);/.exec(text)?.[1]));
      expect(shown).toEqual(Array.from(returns, (value) => Number(value.toFixed(3))));
      expect(complaints).toEqual([]);
      expect(requests).toHaveLength(1);
      await page.close();
    },
  );

  it("plays by itself, and stands still where less motion is asked for", { timeout: 2 * MINUTES }, async () => {
    const moving = await openPage(clumsy);
    await moving.page.locator("#ended", { hasText: "Episode 1 ended" }).waitFor({ timeout: MINUTES });
    await moving.page.locator("#episode", { hasText: "2" }).waitFor({ timeout: MINUTES });
    const still = await openPage(clumsy, { reducedMotion: "reduce" });
    await still.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))");
    expect([await textOf(still.page, "steps"), await textOf(still.page, "pause")]).toEqual(["0", "Play"]);
    await moving.page.close();
    await still.page.close();
  });

  it("is worked by the keyboard alone", { timeout: 2 * MINUTES }, async () => {
    const { page } = await openPage(await fromZoo("CartPole-v1-policy"));
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    expect(await textOf(page, "pause")).toBe("Play");
    const before = Number(await textOf(page, "steps"));
    await page.keyboard.press("Tab");
    await page.keyboard.press("Space");
    expect(Number(await textOf(page, "steps"))).toBe(before + 1);
    const seed = await textOf(page, "seed");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    expect([await textOf(page, "episode"), await textOf(page, "steps")]).toEqual(["2", "0"]);
    expect(await textOf(page, "seed")).not.toBe(seed);
    await page.close();
  });

  it.each([
    ["light", 1280],
    ["dark", 375],
  ] as const)("is accessible and fits, %s, %d pixels wide", { timeout: 2 * MINUTES }, async (colorScheme, width) => {
    const words = { creator: "a".repeat(500), ["b".repeat(100)]: "c" };
    const { page } = await openPage(
      { ...clumsy, provenance: words },
      { colorScheme, viewport: { width, height: 900 } },
    );
    expect(await page.evaluate("document.documentElement.scrollWidth")).toBeLessThanOrEqual(width);
    expect(await barriersOf(page)).toEqual([]);
    await page.close();
  });

  it("draws what the environment draws", { timeout: 2 * MINUTES }, async () => {
    const { page } = await openPage(clumsy, { reducedMotion: "reduce" });
    const pixels = (x: number, y: number): Promise<number[]> =>
      page.evaluate(`[...document.getElementById("picture").getContext("2d").getImageData(${x}, ${y}, 1, 1).data]`);
    // The cart stands in the middle of the 600 x 400 picture, 100 above its lower edge; the canvas is twice as fine.
    expect(await pixels(600, 624)).toEqual([0, 0, 0, 255]);
    expect(await pixels(20, 20)).toEqual([255, 255, 255, 255]);
    await page.close();
  });

  it("shows hostile words as words", { timeout: 2 * MINUTES }, async () => {
    const provenance = Object.fromEntries(hostile.map((word, index) => [`${index} ${word}`, word]));
    const words = { ...clumsy, provenance, environment: hostile.join("") };
    const { page, complaints } = await openPage(words, { reducedMotion: "reduce" }, "CartPole-v1");
    expect(complaints).toEqual([]);
    const shown = await page.locator(".facts dd").allTextContents();
    expect(shown).toContain("</script><script>alert(1)</script>");
    expect(shown).toContain("<img src=x onerror=alert(1)>");
    await episodes(page, 1);
    expect(complaints).toEqual([]);
    await page.close();
  });

  it("a module decides in a browser as in Node", { timeout: 2 * MINUTES }, async () => {
    const { page, complaints } = await open(running.browser, "about:blank", {});
    for (const name of ["LunarLander-v3-teacher", "LunarLanderContinuous-v3-policy", "MiniBreakout-v0-policy"]) {
      const policy = await fromZoo(name);
      const random = stream(1, "observations");
      const observations = Array.from({ length: 20 }, () =>
        Array.from({ length: inputSize(policy.architecture) }, () => Math.fround(random.uniform(-1, 1))),
      );
      const url = `data:text/javascript;base64,${Buffer.from(policyToJs(policy).code).toString("base64")}`;
      const answers = await page.evaluate<{ outputs: number[]; action: unknown }[]>(
        `import(${JSON.stringify(url)}).then(({ forward, act }) =>
          ${JSON.stringify(observations)}.map((x) => ({ outputs: [...forward(x)], action: act(x) })))`,
      );
      const predict = predictor(policy);
      for (const [k, { outputs, action }] of answers.entries()) {
        const expected = predict(Float32Array.from(observations[k]!));
        // The tangent of another V8 may differ in its last bit.
        for (const [j, value] of expected.entries()) {
          expect(Math.abs(outputs[j]! - value)).toBeLessThanOrEqual(1e-6 * Math.max(1, Math.abs(value)));
        }
        if (policy.architecture.head !== "gaussian") expect(action).toBe(argmax(expected));
      }
    }
    expect(complaints).toEqual([]);
    await page.close();
  });
});
