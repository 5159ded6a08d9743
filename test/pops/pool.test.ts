import { expect, it } from "vitest";
import { dense, parameterCount } from "../../src/network/architecture.ts";
import { popsSchema } from "../../src/pops/options.ts";
import { Pool } from "../../src/pops/pool.ts";
import type { PlayJob } from "../../src/pops/worker.ts";

it("does what waits for a thread that fails at a job which is no longer wanted", async () => {
  const architecture = dense(2, [], 2, "logits");
  const parameters = new Float32Array(parameterCount(architecture));
  const { distill: options, tolerance } = popsSchema.parse({ objective: 0, lowerBound: 0 });
  const unit = { observations: new Float32Array(2), labels: new Float32Array(2), next: 0 };
  const states = { training: unit, heldOut: unit };
  const source = {
    environment: "Stray-v0",
    modules: [new URL("stray-module.ts", import.meta.url).href],
    workers: 1,
  };
  const judged = { objective: 0, seed: 1, tolerance, acting: "greedy", bits: null } as const;
  const pool = new Pool({ teacher: { architecture, parameters }, options, states, source, ...judged }, 1);
  const job: PlayJob = { architecture, parameters, set: "any", first: 0, episodes: 1, lanes: 1, acting: "greedy" };
  void pool.play(job);
  pool.cancel();
  await expect(pool.play(job)).rejects.toThrow("Stray-v0: a worker thread failed: by itself");
  await pool.close();
});
