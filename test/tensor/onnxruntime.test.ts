import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { command, temporaryFolder } from "../cli/fixtures/pops.ts";

it("sends nothing of the policies that it runs: no identifier and no store of events is left at home (seen on Linux)", () => {
  const home = temporaryFolder();
  const policy = fileURLToPath(new URL("../../zoo/CartPole-v1-policy.safetensors", import.meta.url));
  // Without what makes ONNX Runtime keep quiet by itself.
  const quiet = ["CI", "ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME"];
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !quiet.includes(name)));
  const [program, ...before] = command;
  const played = spawnSync(program, [...before, "evaluate", policy, "--episodes", "2"], {
    env: { ...env, HOME: home },
    encoding: "utf8",
  });
  expect(played).toMatchObject({ status: 0, stderr: "" });
  expect(existsSync(join(home, ".cache"))).toBe(false);
});
