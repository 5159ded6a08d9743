import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { AxeResults } from "axe-core";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll } from "vitest";

const { POPS_CHROMIUM: executablePath = "/usr/bin/chromium" } = process.env;

/** What is said of tests in a browser, when they are skipped. */
export const NEEDS_CHROMIUM = "needs Chromium; POPS_CHROMIUM names it";
export const withChromium = existsSync(executablePath);

/** A Chromium that asks for nothing by itself. */
export function launchChromium(): Promise<Browser> {
  return chromium.launch({
    executablePath,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

/** A browser and a folder for its files, while the tests of a group run. */
export function browserFor(prefix: string): { readonly folder: string; readonly browser: Browser } {
  const folder = mkdtempSync(join(tmpdir(), prefix));
  let browser: Browser | undefined;
  beforeAll(async () => {
    browser = await launchChromium();
  });
  afterAll(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true });
  });
  return {
    folder,
    get browser() {
      if (browser === undefined) throw new Error("the browser is there while tests run");
      return browser;
    },
  };
}

/** A page with what it says on the console and what it asks for. */
export interface Opened {
  readonly page: Page;
  readonly complaints: string[];
  readonly requests: string[];
}

export async function open(browser: Browser, url: string, options: Parameters<Browser["newPage"]>[0]): Promise<Opened> {
  const page = await browser.newPage(options);
  const complaints: string[] = [];
  const requests: string[] = [];
  page.on("console", (message) => complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("request", (request) => requests.push(request.url()));
  await page.goto(url);
  return { page, complaints, requests };
}

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** What keeps people from using the page, with the first place of each. */
export async function barriersOf(page: Page): Promise<string[]> {
  await page.evaluate(axe);
  const { violations } = await page.evaluate<AxeResults>("axe.run()");
  const grave = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  return grave.map(({ id, nodes }) => `${id}: ${nodes[0]?.html ?? ""}`);
}
