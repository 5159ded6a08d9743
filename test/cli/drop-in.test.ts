import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { hasPackages, python } from "../environment/fixtures/python.ts";
import { newFolder, pops, remove } from "./fixtures/pops.ts";
import { anyGood } from "./fixtures/tiny.ts";

const NEEDED = ["torch", "onnx", "onnxruntime"];

const models = [
  ["dueling-choice", "CartPole-v1", []],
  ["dueling-double-static", "CartPole-v1", []],
  ["norms", "CartPole-v1", ["best"]],
  ["gaussian", "Pendulum-v1", ["value"]],
  ["sequence-bytes", "CartPole-v1", []],
  ["sequence-uint8", "CartPole-v1", []],
] as const;

const signature = z.tuple([z.string(), z.string(), z.array(z.union([z.string(), z.number(), z.null()]))]);
const calledSchema = z.array(
  z.object({
    input: z.array(z.array(signature)),
    outputs: z.array(z.array(signature)),
    results: z.array(z.array(z.tuple([z.string(), z.array(z.number())]))),
    finite: z.boolean(),
    missing: z.array(z.string()),
    more: z.array(z.string()),
    values: z.record(z.string(), z.unknown()),
  }),
);

describe.skipIf(!hasPackages(NEEDED))(
  `a compressed policy in its teacher's place (needs Python with ${NEEDED.join(", ")})`,
  () => {
    const folder = newFolder();
    const called = new Map<string, z.infer<typeof calledSchema>[number]>();
    beforeAll(async () => {
      const script = fileURLToPath(new URL("../importing/fixtures/make-graphs.py", import.meta.url));
      const made = spawnSync(python, [script, folder], { encoding: "utf8" });
      if (made.status !== 0) throw new Error(made.stderr);
      const pairs = await Promise.all(
        models.map(async ([name, environment]) => {
          const [teacher, out] = [join(folder, `${name}.onnx`), join(folder, name)];
          const objective = environment === "CartPole-v1" ? 5 : -10_000;
          const ended = await pops(
            ...["compress", "--teacher", teacher, "--env", environment, ...anyGood(objective), "--out", out],
          );
          expect(ended).toMatchObject({ code: 0, stderr: "" });
          expect(ended.stdout).toContain(" weights became ");
          return [teacher, join(out, "policies", "policy.onnx")];
        }),
      );
      const caller = fileURLToPath(new URL("fixtures/drop-in.py", import.meta.url));
      const { status, stdout, stderr } = spawnSync(python, [caller, ...pairs.flat()], { encoding: "utf8" });
      if (status !== 0) throw new Error(stderr);
      for (const [k, result] of calledSchema.parse(JSON.parse(stdout)).entries()) called.set(models[k]![0], result);
    }, 300_000);
    afterAll(() => {
      remove(folder);
    });

    it.each(models)(
      "has the signature of %s, and a program written for that calls it unchanged",
      (name, _, leftOut) => {
        const { input, outputs, results, finite, missing, more } = called.get(name)!;
        expect(input[1]).toEqual(input[0]);
        expect(outputs[1]).toEqual(outputs[0]);
        expect(results[1]).toEqual(results[0]);
        expect({ finite, missing, more }).toEqual({ finite: true, missing: leftOut, more: [] });
      },
    );

    it("gives choices, probabilities and actions as such", () => {
      const { choice, q } = called.get("dueling-choice")!.values as { choice: number[]; q: number[][] };
      expect(choice).toEqual(q.map((row) => row.indexOf(Math.max(...row))));
      const { "log probabilities": logs } = called.get("sequence-bytes")!.values as {
        "log probabilities": number[][][];
      };
      for (const [row = []] of logs) expect(row.reduce((sum, log) => sum + Math.exp(log), 0)).toBeCloseTo(1, 5);
      const { action } = called.get("gaussian")!.values as { action: number[][] };
      for (const [torque = 9] of action) expect(Math.abs(torque)).toBeLessThanOrEqual(2);
    });
  },
);
