import { join } from "node:path";
import type { Event } from "../events.ts";
import { policyToOnnx } from "../exporting/onnx.ts";
import { policyToSafetensors } from "../exporting/safetensors.ts";
import { writeAtomically } from "../files.ts";
import { countsOf, describe } from "../network/architecture.ts";
import { countNonZero } from "../network/parameters.ts";
import type { Policy, Score } from "../network/policy.ts";
import type { Outcome } from "../pops/pipeline.ts";
import { renderReport } from "../report/report.ts";
import type { RunDirectory } from "../run/directory.ts";
import { readEvents } from "../run/read.ts";
import type { Result, Side } from "../run/result.ts";
import type { Config } from "./config.ts";
import { measureLatency } from "./latency.ts";
import { VERSION, versions } from "./version.ts";

/** A network of a run as a policy that can be saved. Its provenance holds no time of day: equal runs write equal files. */
function toPolicy(config: Config, network: Pick<Policy, "architecture" | "parameters">, role: string, score?: Score): Policy {
  const { environment, preset, seed } = config;
  const provenance = { creator: `pops-rl ${VERSION}`, role, environment, preset, seed: String(seed) };
  return { ...network, environment, ...(score && { score }), provenance };
}

/** Writes the teacher's file into the run's `policies`. */
export function saveTeacher(directory: RunDirectory, config: Config, teacher: Outcome["teacher"], score?: Score): Policy {
  const policy = toPolicy(config, teacher, "teacher", score);
  writeAtomically(join(directory.files.policies, "teacher.safetensors"), policyToSafetensors(policy));
  return policy;
}

function sideOf(policy: Policy, score: Score): Side {
  const { architecture, parameters } = policy;
  return {
    architecture,
    layers: describe(architecture),
    ...countsOf(architecture),
    nonZero: countNonZero(architecture, parameters),
    latencyMicros: measureLatency(policy),
    score,
  };
}

/** Every policy that was tried, in order. */
function stepsOf(events: readonly Event[]): Result["steps"] {
  const steps: Result["steps"] = [];
  for (const event of events) {
    if (event.type === "candidate" || event.type === "proof") {
      const { architecture, weights, score, passed } = event;
      const stage = event.type === "candidate" ? event.stage : event.role === "teacher" ? "teacher" : "proof";
      const iteration = event.type === "candidate" ? event.iteration : 0;
      steps.push({ stage, iteration, layers: describe(architecture), weights, score: score.mean, episodes: score.episodes, passed });
    }
  }
  return steps;
}

export interface Finished {
  readonly result: Result;
  readonly files: readonly string[];
}

/** Writes everything that a finished compression leaves: policies, exports, `result.json`, `report.html`. */
export function finish(
  directory: RunDirectory,
  config: Config,
  outcome: Required<Outcome>,
  seconds: Readonly<Record<string, number>>,
): Finished {
  const { files } = directory;
  const answer = outcome.answer;
  if (!answer) throw new Error("a run without compression has no result");
  const teacher = saveTeacher(directory, config, outcome.teacher, answer.teacherScore);
  const policy = toPolicy(config, { architecture: answer.architecture, parameters: answer.parameters }, "compact policy", answer.score);
  const safetensors = join(files.policies, "policy.safetensors");
  const onnx = join(files.policies, "policy.onnx");
  writeAtomically(safetensors, policyToSafetensors(policy));
  writeAtomically(onnx, policyToOnnx(policy));
  const events = readEvents(files.events);
  const teacherSide = sideOf(teacher, answer.teacherScore);
  const policySide = sideOf(policy, answer.score);
  const result: Result = {
    version: 1,
    environment: config.environment,
    seed: config.seed,
    preset: config.preset,
    objective: config.pops.objective,
    teacher: teacherSide,
    policy: policySide,
    ratio: policySide.weights / teacherSide.weights,
    smaller: answer.smaller,
    steps: stepsOf(events),
    seconds: { ...seconds, total: Object.values(seconds).reduce((total, x) => total + x, 0) },
    versions: versions(),
  };
  directory.writeResult(result);
  const report = renderReport({ result, events, config: directory.config, teacher, policy });
  writeAtomically(files.report, Buffer.from(report));
  return { result, files: [safetensors, onnx, files.result, files.report] };
}
