import { join } from "node:path";
import { env } from "onnxruntime-node";
import type { Event } from "../events.ts";
import { policyToOnnx } from "../exporting/onnx.ts";
import { policyToSafetensors } from "../exporting/safetensors.ts";
import { VERSION } from "../exporting/version.ts";
import { writeAtomically } from "../files.ts";
import { countsOf, describe } from "../network/architecture.ts";
import { countNonZero } from "../network/parameters.ts";
import type { Policy, Score } from "../network/policy.ts";
import type { Answer } from "../pops/pops.ts";
import { renderReport } from "../report/report.ts";
import type { RunDirectory } from "../run/directory.ts";
import { readEvents } from "../run/read.ts";
import type { Result, Side } from "../run/result.ts";
import { type Config, subjectOf } from "./config.ts";
import { measureLatency } from "./latency.ts";
import { share } from "./progress.ts";

type Network = Pick<Policy, "architecture" | "parameters">;

/** A network of a run as a policy that can be saved. Its provenance holds no time of day: equal runs write equal files. */
function toPolicy(config: Config, { architecture, parameters }: Network, role: string, score?: Score): Policy {
  const { preset, seed } = config;
  const creator = `pops-rl ${VERSION}`;
  if ("observations" in config) {
    const { observations } = config;
    const agreement = score && `${agreementOf(score)}; no return was measured`;
    const from = { observations: `${subjectOf(config)}, SHA-256 ${observations.sha256}`, preset, seed: String(seed) };
    return { architecture, parameters, provenance: { creator, role, ...(agreement && { agreement }), ...from } };
  }
  const { environment } = config;
  const provenance = { creator, role, environment, preset, seed: String(seed) };
  return { architecture, parameters, environment, ...(score && { score }), provenance };
}

/** In words: a policy's `score` is a return, which a policy of logged observations does not have. */
function agreementOf({ mean, lower95, episodes }: Score): string {
  return `acts as its teacher on ${share(mean)} of held-out observations (95 % lower bound ${share(lower95)}), mean of ${episodes} groups`;
}

/** Where a run keeps its teacher. */
export function teacherPath(directory: RunDirectory): string {
  return join(directory.files.policies, "teacher.safetensors");
}

/** Writes the teacher's file into the run's `policies`. */
export function saveTeacher(directory: RunDirectory, config: Config, teacher: Network, score?: Score): Policy {
  const policy = toPolicy(config, teacher, "teacher", score);
  writeAtomically(teacherPath(directory), policyToSafetensors(policy));
  return policy;
}

function sideOf(
  policy: Policy,
  { score, sampled, divergence }: Pick<Answer, "score" | "sampled" | "divergence">,
): Side {
  const { architecture, parameters } = policy;
  return {
    architecture,
    layers: describe(architecture),
    ...countsOf(architecture),
    nonZero: countNonZero(architecture, parameters),
    latencyMicros: measureLatency(policy),
    score,
    ...(sampled && { sampled }),
    ...(divergence && { divergence }),
  };
}

/** What the run stood on. */
function groundOf(config: Config, events: readonly Event[]): Pick<Result, "environment" | "measure" | "observations"> {
  if ("environment" in config) return { environment: config.environment, measure: "return" };
  const event = events.find(({ type }) => type === "observations");
  if (event?.type !== "observations") throw new Error("the log of a run on observations does not tell of them");
  const { sha256, by, training, selection, proof } = event;
  const { tolerance } = config.pops;
  const observations = { file: subjectOf(config), sha256, by, training, selection, proof, tolerance };
  return { measure: "agreement", observations };
}

/** Every policy that was tried, in order. */
function stepsOf(events: readonly Event[]): Result["steps"] {
  const steps: Result["steps"] = [];
  for (const event of events) {
    if (event.type === "candidate" || event.type === "proof") {
      const { architecture, weights, score, passed } = event;
      const { mean, episodes } = score;
      const stage = event.type === "candidate" ? event.stage : event.role === "teacher" ? "teacher" : "proof";
      const iteration = event.type === "candidate" ? event.iteration : 0;
      steps.push({ stage, iteration, layers: describe(architecture), weights, score: mean, episodes, passed });
    }
  }
  return steps;
}

/** What a result depends on beside its configuration. */
function versions(): Record<string, string> {
  return {
    "pops-rl": VERSION,
    "onnxruntime-node": env.versions.node ?? "",
    node: process.versions.node,
    v8: process.versions.v8,
    platform: `${process.platform}-${process.arch}`,
  };
}

/** Writes everything that a finished compression leaves; `result.json` is the last, so a folder that has it has all. */
export function finish(
  directory: RunDirectory,
  config: Config,
  teacherNetwork: Network,
  answer: Answer,
  seconds: Readonly<Record<string, number>>,
): Result {
  const { files } = directory;
  // Against itself a teacher has no agreement worth a word.
  const teacherScore = "environment" in config ? answer.teacher.score : undefined;
  const teacher = saveTeacher(directory, config, teacherNetwork, teacherScore);
  const policy = toPolicy(config, answer, "compact policy", answer.score);
  writeAtomically(join(files.policies, "policy.safetensors"), policyToSafetensors(policy));
  writeAtomically(join(files.policies, "policy.onnx"), policyToOnnx(policy));
  const events = readEvents(files.events);
  const teacherSide = sideOf(teacher, answer.teacher);
  const policySide = sideOf(policy, answer);
  const result: Result = {
    version: 1,
    ...groundOf(config, events),
    seed: config.seed,
    preset: config.preset,
    objective: answer.objective,
    teacher: teacherSide,
    policy: policySide,
    ratio: policySide.weights / teacherSide.weights,
    smaller: answer.smaller,
    steps: stepsOf(events),
    seconds: { ...seconds, total: Object.values(seconds).reduce((total, x) => total + x, 0) },
    versions: versions(),
  };
  const report = renderReport({ result, events, config: directory.config, teacher, policy });
  writeAtomically(files.report, Buffer.from(report));
  directory.writeResult(result);
  return result;
}
