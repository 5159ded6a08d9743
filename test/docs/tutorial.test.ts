import { spawn } from "node:child_process";
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadPolicy } from "../../src/importing/load.ts";
import { readResult } from "../../src/run/read.ts";
import { compiler } from "../../src/verification/compiler.ts";
import { launchChromium, NEEDS_CHROMIUM, open, withChromium } from "../browser.ts";
import { command, newFolder, remove, temporaryFolder } from "../cli/fixtures/pops.ts";
import { expectAgreement } from "../end-to-end/agreement.ts";
import { hasPackages, python } from "../environment/fixtures/python.ts";
import { blocks, read, section } from "./markdown.ts";

/* The tutorials of docs/: their files are written, their commands run as they stand, in order, in a folder. */

const MINUTES = 60_000;

/** An executable file that stands for a program. */
function program(folder: string, name: string, ...words: readonly string[]): void {
  const path = join(folder, name);
  writeFileSync(path, `#!/bin/sh\nexec ${words.map((word) => `'${word}'`).join(" ")} "$@"\n`);
  chmodSync(path, 0o755);
}

/** Files of a tutorial say their names in a comment. */
const NAMES = {
  python: /^# (\w+\.py)\n/,
  js: /^\/\/ (\w+\.mjs)\n/,
  html: /^<!-- (\w+\.html) -->\n/,
  c: /^\/\/ (\w+\.c)\n/,
};

/** What the commands of a tutorial print, to both streams. */
async function follow(document: string, heading: string, folder: string): Promise<string> {
  const tutorial = section(read(document), heading);
  for (const [language, pattern] of Object.entries(NAMES)) {
    for (const file of blocks(tutorial, language)) {
      const [, name = ""] = pattern.exec(file) ?? [];
      writeFileSync(join(folder, name), file);
    }
  }
  const programs = join(folder, "bin");
  mkdirSync(programs);
  program(programs, "pops", ...command);
  program(programs, "python3", python);
  program(programs, "node", process.execPath);
  const env = { ...process.env, PATH: `${programs}${delimiter}${process.env["PATH"] ?? ""}` };
  const commands = blocks(tutorial, "sh").join("");
  expect(commands).not.toBe("");
  const shell = spawn("sh", ["-e", "-c", commands], { cwd: folder, env, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [shell.stdout, shell.stderr]) {
    stream.setEncoding("utf8").on("data", (more: string) => {
      output += more;
    });
  }
  const code = await new Promise((resolve) => shell.on("close", resolve));
  expect(code, `${commands}\n${output}`).toBe(0);
  return output;
}

const OWN = "docs/bring-your-own.md";

describe.skipIf(process.platform === "win32")("docs/bring-your-own.md (needs a POSIX shell)", () => {
  const folder = newFolder();
  afterAll(() => {
    remove(folder);
  });
  const own = (name: string): string => {
    const path = join(folder, name);
    mkdirSync(path);
    return path;
  };

  it("shows an environment in TypeScript", { timeout: 3 * MINUTES }, async () => {
    const output = await follow(OWN, "An environment in TypeScript", own("typescript"));
    expect(output).toContain("./ball.ts: keeps the contract of environments\n");
    expect(output).toMatch(/\nBall-v0: 99,200 weights became \d+ /);
    expect(output).toMatch(/ weights\) on Ball-v0, 100 greedy episodes, seed 1\n/);
  });

  const forTray = ["gymnasium", "numpy"];
  it.skipIf(!hasPackages(forTray))(
    `shows an environment in Python (needs Python with ${forTray.join(", ")})`,
    { timeout: 3 * MINUTES },
    async () => {
      const output = await follow(OWN, "An environment in Python", own("python"));
      expect(output).toMatch(/\ngymnasium:Tray-v0: [\d,]+ weights became \d+ /);
      expect(output).toMatch(/ weights\) on gymnasium:Tray-v0, 20 greedy episodes, seed 1\n/);
    },
  );

  const forNetwork = ["torch", "safetensors", "onnx"];
  it.skipIf(!hasPackages(forNetwork))(
    `shows networks of PyTorch, safetensors and ONNX (needs Python with ${forNetwork.join(", ")})`,
    { timeout: 3 * MINUTES },
    async () => {
      const path = own("network");
      await follow(OWN, "A network from PyTorch, safetensors or ONNX", path);
      const [expected, ...others] = await Promise.all(
        ["torch", "safetensors", "onnx"].map((kind) => loadPolicy(join(path, `from-${kind}.safetensors`))),
      );
      expect(expected?.architecture.layers).toMatchObject([{ units: 64, activation: "tanh" }, { units: 2 }]);
      for (const { architecture, parameters } of others) {
        expect(architecture).toEqual(expected?.architecture);
        expect(parameters).toEqual(expected?.parameters);
      }
    },
  );

  const forModel = ["stable_baselines3", "gymnasium", "onnxruntime"];
  describe.skipIf(!hasPackages(forModel))(
    `a model of Stable-Baselines3 (needs Python with ${forModel.join(", ")})`,
    () => {
      const path = join(folder, "model");
      let output = "";
      beforeAll(async () => {
        mkdirSync(path);
        output = await follow(OWN, "A model of Stable-Baselines3", path);
      }, 8 * MINUTES);

      it("becomes a policy of 1 % of its weights that holds the objective, and is played in Python", () => {
        const { teacher, objective, policy, ratio } = readResult(join(path, "runs/small/result.json"));
        expect(teacher).toMatchObject({ layers: "4-256-256-2", weights: 67_072 });
        expect(objective).toBe(475);
        expect(policy.score.lower95).toBeGreaterThanOrEqual(objective);
        expect(ratio).toBeLessThanOrEqual(0.01);
        expect(output).toMatch(/\nonnxruntime \d+\.\d+\nStable-Baselines3 \d+\.\d+\n$/);
      });

      it("decides alike in onnxruntime and in Stable-Baselines3, and scores in Gymnasium what the run says", () => {
        expectAgreement(join(path, "runs/small"), "CartPole-v1", "DQN", join(path, "small.zip"));
      });
    },
  );
});

describe.skipIf(process.platform === "win32")("docs/deploy.md (needs a POSIX shell)", () => {
  const deploying = "docs/deploy.md";

  it("shows a module in Node", { timeout: MINUTES }, async () => {
    const output = await follow(deploying, "In Node", temporaryFolder());
    expect(output).toMatch(/\nCartPole-v1 4-1-2 500\n1 2\n$/);
  });

  it.skipIf(!withChromium)(`shows a module in a browser (${NEEDS_CHROMIUM})`, { timeout: 2 * MINUTES }, async () => {
    const folder = temporaryFolder();
    await follow(deploying, "In a browser", folder);
    const server = createServer(({ url = "" }, answer) => {
      const script = url.endsWith(".js");
      answer.setHeader("content-type", script ? "text/javascript" : "text/html");
      answer.end(readFileSync(join(folder, script ? "policy.js" : "index.html")));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const browser = await launchChromium();
    const { port } = server.address() as AddressInfo;
    const { page, complaints } = await open(browser, `http://127.0.0.1:${port}/index.html`, {});
    await page.locator("output", { hasText: /./ }).waitFor();
    expect(await page.locator("p").textContent()).toBe("The pole leans to the right, so push to the right.");
    expect(complaints).toEqual([]);
    await browser.close();
    server.close();
    expect(readdirSync(folder)).toContain("lander.html");
  });

  const withCompiler = compiler() !== undefined;

  it.skipIf(!withCompiler).each(["In C", "On a microcontroller"])(
    "shows a policy under the heading %s (needs a compiler of C)",
    { timeout: MINUTES },
    async (heading) => {
      const output = await follow(deploying, heading, temporaryFolder());
      expect(output).toMatch(/\n16 of 16 observations agree\n$/);
    },
  );

  it.skipIf(!withCompiler)("shows how exports are proven (needs a compiler of C)", { timeout: MINUTES }, async () => {
    const output = await follow(deploying, "Prove it", temporaryFolder());
    expect(output.match(/ passed\n/g)).toHaveLength(3);
    expect(output).toMatch(/\nlayer +units +parameters/);
  });
});
