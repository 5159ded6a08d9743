import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Browser } from "playwright-core";
import { describe, expect, it } from "vitest";
import { dense } from "../../src/network/architecture.ts";
import { type ReportInput, renderReport } from "../../src/report/report.ts";
import { barriersOf, browserFor, NEEDS_CHROMIUM, type Opened, open, withChromium } from "../browser.ts";
import { cartPoleRun, imageRun, nothingSmallerRun, policyOf, sideOf } from "./synthetic.ts";

const run = cartPoleRun();
const wordy = "a-very-long-environment-name/".repeat(8);
const small = policyOf(dense(4, [3, 3, 2], 2, "q-values"), 9);
const pages: [string, ReportInput][] = [
  ["a whole run", run],
  ["nothing smaller", nothingSmallerRun()],
  ["networks over images", imageRun()],
  [
    "long names, four layers in full",
    {
      ...run,
      config: `key: ${"x".repeat(500)}\n`,
      policy: small,
      result: {
        ...run.result,
        environment: wordy,
        preset: wordy,
        policy: sideOf(small, run.result.policy.score, 0.2),
        versions: { node: wordy },
      },
    },
  ],
];
const desktop = { name: "desktop", width: 1280, height: 900 };
const phone = { name: "phone", width: 375, height: 812 };
const screens = [
  { ...desktop, colorScheme: "light" },
  { ...phone, colorScheme: "dark" },
  { ...desktop, colorScheme: "dark" },
  { ...phone, colorScheme: "light" },
] as const;

describe.skipIf(!withChromium)(`the report in a browser (${NEEDS_CHROMIUM})`, () => {
  const running = browserFor("pops-report-");
  const { folder } = running;

  /** Opens the report from a file. */
  function openReport(input: ReportInput, options: Parameters<Browser["newPage"]>[0]): Promise<Opened> {
    const file = join(folder, "report.html");
    writeFileSync(file, renderReport(input));
    return open(running.browser, pathToFileURL(file).href, options);
  }

  /** The usual page on every screen; the unusual ones, whose styles are the same, on each kind once. */
  const views = pages.flatMap(([title, input], index) =>
    screens.slice(0, index === 0 ? 4 : 2).map((screen) => ({ title, input, ...screen })),
  );
  it.each(views)(
    "$title, $colorScheme $name: fits, is quiet, asks for nothing, is accessible",
    async ({ input, width, height, colorScheme }) => {
      const { page, complaints, requests } = await openReport(input, { viewport: { width, height }, colorScheme });
      await page.evaluate("document.querySelector('details').open = true");
      expect(await page.evaluate("document.documentElement.scrollWidth")).toBeLessThanOrEqual(width);
      expect(complaints).toEqual([]);
      expect(requests).toHaveLength(1);
      expect(await barriersOf(page)).toEqual([]);
      await page.close();
    },
  );

  it("reads a curve out under the pointer", async () => {
    const { page } = await openReport(run, { viewport: { width: 1280, height: 900 } });
    const curves = page.locator("#teacher .wide .lines").first();
    await curves.scrollIntoViewIfNeeded();
    // The scroll event, which hides the read-out, comes with the next frame.
    await page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))");
    await curves.hover();
    const tip = page.locator(".tip.on");
    expect(await tip.textContent()).toMatch(/^gradient steps 12,\d00\ntraining [\d.]+\nevaluated [\d.]+$/);
    await page.close();
  });

  it("shows all of its figures without scripts", async () => {
    const context = await running.browser.newContext({
      javaScriptEnabled: false,
      viewport: { width: 1280, height: 900 },
    });
    const file = join(folder, "plain.html");
    writeFileSync(file, renderReport(run));
    const page = await context.newPage();
    await page.goto(pathToFileURL(file).href);
    expect(await page.locator("figure svg[role=img]:visible").count()).toBeGreaterThan(10);
    await context.close();
  });
});
