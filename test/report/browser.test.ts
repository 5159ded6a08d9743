import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { AxeResults } from "axe-core";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { dense } from "../../src/network/architecture.ts";
import { type ReportInput, renderReport } from "../../src/report/report.ts";
import { cartPoleRun, imageRun, nothingSmallerRun, policyOf, sideOf } from "./synthetic.ts";

const { POPS_CHROMIUM: executablePath = "/usr/bin/chromium" } = process.env;
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

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

describe.skipIf(!existsSync(executablePath))("the report in a browser (needs Chromium; POPS_CHROMIUM names it)", () => {
  const folder = mkdtempSync(join(tmpdir(), "pops-report-"));
  let browser: Browser;

  beforeAll(async () => {
    browser = await chromium.launch({
      executablePath,
      args: [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
      ],
    });
  });

  afterAll(async () => {
    await browser.close();
    rmSync(folder, { recursive: true });
  });

  /** Opens the report from a file and records what it says on the console and what it asks for. */
  async function open(
    input: ReportInput,
    options: Parameters<Browser["newPage"]>[0],
  ): Promise<{ page: Page; complaints: string[]; requests: string[] }> {
    const file = join(folder, "report.html");
    writeFileSync(file, renderReport(input));
    const page = await browser.newPage(options);
    const complaints: string[] = [];
    const requests: string[] = [];
    page.on("console", (message) => complaints.push(message.text()));
    page.on("pageerror", (error) => complaints.push(error.message));
    page.on("request", (request) => requests.push(request.url()));
    await page.goto(pathToFileURL(file).href);
    return { page, complaints, requests };
  }

  /** The usual page on every screen; the unusual ones, whose styles are the same, on each kind once. */
  const views = pages.flatMap(([title, input], index) =>
    screens.slice(0, index === 0 ? 4 : 2).map((screen) => ({ title, input, ...screen })),
  );
  it.each(views)(
    "$title, $colorScheme $name: fits, is quiet, asks for nothing, is accessible",
    async ({ input, width, height, colorScheme }) => {
      const { page, complaints, requests } = await open(input, { viewport: { width, height }, colorScheme });
      await page.evaluate("document.querySelector('details').open = true");
      expect(await page.evaluate("document.documentElement.scrollWidth")).toBeLessThanOrEqual(width);
      expect(complaints).toEqual([]);
      expect(requests).toHaveLength(1);
      await page.evaluate(axe);
      const { violations } = await page.evaluate<AxeResults>("axe.run()");
      const grave = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
      expect(grave.map(({ id, nodes }) => `${id}: ${nodes[0]?.html ?? ""}`)).toEqual([]);
      await page.close();
    },
  );

  it("reads a curve out under the pointer", async () => {
    const { page } = await open(run, { viewport: { width: 1280, height: 900 } });
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
    const context = await browser.newContext({ javaScriptEnabled: false, viewport: { width: 1280, height: 900 } });
    const file = join(folder, "plain.html");
    writeFileSync(file, renderReport(run));
    const page = await context.newPage();
    await page.goto(pathToFileURL(file).href);
    expect(await page.locator("figure svg[role=img]:visible").count()).toBeGreaterThan(10);
    await context.close();
  });
});
