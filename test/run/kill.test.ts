import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { expect, it } from "vitest";
import type { Plain } from "../../src/plain.ts";
import { RunDirectory } from "../../src/run/directory.ts";
import { restore } from "../../src/run/generations.ts";
import { record } from "../../src/run/record.ts";
import { commandLine, start, temporaryFolder } from "./fixtures/child.ts";
import { exact } from "./fixtures/states.ts";
import { toy } from "./fixtures/toy.ts";

const options = { program: "1.0.0", checkpointEvery: Number.POSITIVE_INFINITY };

async function finish(directory: RunDirectory, steps: number): Promise<{ log: Buffer; state: unknown }> {
  const startedFrom = restore(directory, options.program);
  const events = toy({ steps, from: startedFrom?.state });
  const recorded = await record<Plain>(directory, events, { ...options, startedFrom });
  if (recorded.interrupted) throw new Error("nothing interrupts this session");
  directory.close();
  return { log: readFileSync(directory.files.events), state: exact(recorded.result) };
}

// A busy machine needs seconds to start each of the 20.
it("ends with the same bytes after 20 kills at random moments as without any", { timeout: 300_000 }, async () => {
  const steps = 5000;
  const path = temporaryFolder();
  for (let kill = 0; kill < 20; kill += 1) {
    const child = start("record-toy.ts", path, String(steps));
    await child.line();
    // The first moments, when the run is being made or taken up, are as likely as those in the midst of the work.
    await setTimeout((kill * 7919) % 151);
    child.process.kill("SIGKILL");
    // Null: the signal ended it, not its end or a refusal to go on.
    expect({ code: await child.ended, errors: child.errors() }).toEqual({ code: null, errors: "" });
  }
  const expected = await finish(RunDirectory.create(temporaryFolder(), "toy: true\n"), steps);
  const directory = RunDirectory.open(path);
  expect(restore(directory, options.program)).toBeDefined();
  expect(await finish(directory, steps)).toEqual(expected);
});

it.skipIf(process.platform === "win32").each([2, 8, 12, 40])(
  "goes on to the same bytes after a disk that was full at files of %i blocks (needs a POSIX shell)",
  async (blocks) => {
    const steps = 150;
    const path = temporaryFolder();
    const limited = spawnSync(
      "sh",
      ["-c", `ulimit -f ${blocks}; exec "$@"`, "sh", ...commandLine("record-toy.ts", path, String(steps))],
      { encoding: "utf8", env: { ...process.env, TSX_DISABLE_CACHE: "1" } },
    );
    expect(limited.stderr).toContain("FileError");
    expect(limited.status).toBe(3);
    const expected = await finish(RunDirectory.create(temporaryFolder(), "toy: true\n"), steps);
    const directory = existsSync(`${path}/config.yaml`)
      ? RunDirectory.open(path)
      : RunDirectory.create(path, "toy: true\n");
    expect(await finish(directory, steps)).toEqual(expected);
  },
);
