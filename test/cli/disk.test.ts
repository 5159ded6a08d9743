import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { loadPolicy } from "../../src/importing/load.ts";
import { command, pops, temporaryFolder } from "./fixtures/pops.ts";
import { tiny } from "./fixtures/tiny.ts";

/** Runs `pops` where no file can grow over some blocks of 512 bytes, which is what a full disk is like. */
function limited(blocks: number, parameters: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(
    "sh",
    ["-c", `ulimit -f ${blocks}; exec "$@"`, "sh", ...command, ...parameters],
    { encoding: "utf8" },
  );
  return { code: status, stdout, stderr };
}

it.skipIf(process.platform === "win32")(
  "names the file that a full disk has no room for, and goes on to the same bytes once there is room (needs a POSIX shell)",
  async () => {
    const folder = temporaryFolder();
    const whole = join(folder, "whole");
    const out = join(folder, "run");
    expect(await pops("train", "CartPole-v1", ...tiny(), "--out", whole)).toMatchObject({ code: 0 });
    const first = limited(64, ["train", "CartPole-v1", ...tiny(), "--out", out, "--checkpoint-every", "0.1"]);
    expect(first.code).toBe(3);
    expect(first.stderr).toMatch(
      new RegExp(`^pops: ${out}/checkpoints/latest\\.safetensors\\S*: cannot be written: .+\n$`),
    );
    expect(await pops("train", "--resume", "--out", out)).toMatchObject({ code: 0, stderr: "" });
    for (const file of ["events.jsonl", "policies/teacher.safetensors"]) {
      expect(readFileSync(join(out, file)).equals(readFileSync(join(whole, file)))).toBe(true);
    }
  },
);

it.skipIf(process.platform === "win32")(
  "names the file that not even a run can be begun with (needs a POSIX shell)",
  () => {
    const out = join(temporaryFolder(), "run");
    const { code, stderr } = limited(0, ["train", "CartPole-v1", ...tiny(), "--out", out]);
    expect(code).toBe(3);
    expect(stderr).toMatch(new RegExp(`^pops: ${out}/run\\.lock: could not be written: .+\n$`));
  },
);

it.skipIf(!existsSync("/dev/full"))("says that what it prints goes nowhere (needs /dev/full)", () => {
  const { status, stderr } = spawnSync("sh", ["-c", '"$@" > /dev/full', "sh", ...command, "zoo", "list"], {
    encoding: "utf8",
  });
  expect({ status, stderr }).toEqual({
    status: 3,
    stderr: expect.stringMatching(/^pops: standard output: cannot be written: .+\n$/) as string,
  });
});

it.skipIf(process.platform === "win32")(
  "keeps the former file when there is no room for an export over it (needs a POSIX shell)",
  async () => {
    const folder = temporaryFolder();
    const out = join(folder, "run");
    await pops("train", "CartPole-v1", ...tiny(), "--out", out);
    const teacher = join(out, "policies", "teacher.safetensors");
    const before = await loadPolicy(teacher);
    const { code, stderr } = limited(1, ["export", "safetensors", teacher, "--output", teacher]);
    expect(code).toBe(3);
    expect(stderr).toMatch(new RegExp(`^pops: ${teacher}: cannot be written: .+\n$`));
    expect(await loadPolicy(teacher)).toEqual(before);
    expect(existsSync(teacher)).toBe(true);
  },
);

it.skipIf(process.platform === "win32")(
  "ends quietly when the reader of its output goes away (needs a POSIX shell)",
  () => {
    const { stdout, stderr } = spawnSync("sh", ["-c", '"$@" | head -1', "sh", ...command, "settings"], {
      encoding: "utf8",
    });
    expect(stdout).toMatch(/^teacher\.algorithm = .*\n$/);
    expect(stderr).toBe("");
  },
);

it.skipIf(process.platform === "win32")(
  "saves a run when the reader of its output goes away, and goes on to the same bytes (needs a POSIX shell)",
  async () => {
    const folder = temporaryFolder();
    const whole = join(folder, "whole");
    const out = join(folder, "run");
    expect(await pops("run", "CartPole-v1", ...tiny(), "--out", whole)).toMatchObject({ code: 0 });
    const script = '{ "$@"; echo $? >&2; } | sed "/Round 1: teach/q"';
    const parameters = ["run", "CartPole-v1", ...tiny(), "--out", out, "--workers", "2"];
    const { stderr } = spawnSync("sh", ["-c", script, "sh", ...command, ...parameters], { encoding: "utf8" });
    // 128 + SIGPIPE, as programs that the signal ends.
    expect(stderr).toBe("141\n");
    expect(existsSync(join(out, "result.json"))).toBe(false);
    expect(await pops("run", "--resume", "--out", out)).toMatchObject({ code: 0, stderr: "" });
    for (const file of ["events.jsonl", "policies/policy.safetensors"]) {
      expect(readFileSync(join(out, file)).equals(readFileSync(join(whole, file)))).toBe(true);
    }
  },
);
