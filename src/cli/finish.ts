import { join } from "node:path";
import type { Event } from "../events.ts";
import { policyToOnnx } from "../exporting/onnx.ts";
import { policyToSafetensors } from "../exporting/safetensors.ts";
import { VERSION } from "../exporting/version.ts";
import { writeAtomically } from "../files.ts";
import { countsOf, describe } from "../network/architecture.ts";
import { type AnyPolicy, type Network, nonZeroOf, type Policy, type Score } from "../network/policy.ts";
import type { Answer } from "../pops/pops.ts";
import { renderReport } from "../report/report.ts";
import type { RunDirectory } from "../run/directory.ts";
import { readEvents } from "../run/read.ts";
import type { Result, Side } from "../run/result.ts";
import { env } from "../tensor/onnxruntime.ts";
import { provenCode } from "./c-files.ts";
import { type Config, subjectOf } from "./config.ts";
import { wordsOf } from "./environment.ts";
import { measureLatency } from "./latency.ts";
import { share } from "./progress.ts";

/** A teacher that was there, with what its file says of it, or one that was trained. */
export type GivenTeacher = AnyPolicy | Network;

/** What is saved with a policy of a run. The provenance holds no time of day: equal runs write equal files. */
function metadataOf(
  config: Config,
  role: string,
  score: Score | undefined,
  from: Partial<Pick<Policy, "provenance" | "interface">>,
): Omit<Policy, "architecture" | "parameters"> {
  const { preset, seed } = config;
  const own = { creator: `pops-rl ${VERSION}`, role };
  const settings = { preset, seed: String(seed) };
  const face = from.interface && { interface: from.interface };
  if ("observations" in config) {
    const agreement = score && `${agreementOf(score)}; no return was measured`;
    const observations = `${subjectOf(config)}, SHA-256 ${config.observations.sha256}`;
    const said = { ...own, ...(agreement && { agreement }), observations, ...settings };
    return { provenance: { ...from.provenance, ...said }, ...face };
  }
  const { environment, gymnasium } = config;
  const drawn = config.pops.acting === "sampled";
  return {
    environment,
    ...wordsOf(gymnasium),
    ...(score && { score }),
    provenance: { ...from.provenance, ...own, environment, ...settings, ...(drawn && { acting: "sampled" }) },
    ...face,
  };
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
export function saveTeacher(directory: RunDirectory, config: Config, teacher: GivenTeacher, score?: Score): AnyPolicy {
  const metadata = metadataOf(config, "teacher", score, "provenance" in teacher ? teacher : {});
  const policy =
    "model" in teacher
      ? { ...teacher, ...metadata }
      : { architecture: teacher.architecture, parameters: teacher.parameters, ...metadata };
  writeAtomically(teacherPath(directory), policyToSafetensors(policy));
  return policy;
}

async function sideOf(
  policy: AnyPolicy,
  { score, sampled, divergence }: Pick<Answer, "score" | "sampled" | "divergence">,
): Promise<Side> {
  const { architecture } = policy;
  return {
    architecture,
    layers: describe(architecture),
    ...countsOf(architecture),
    nonZero: nonZeroOf(policy),
    latencyMicros: await measureLatency(policy),
    score,
    ...(sampled && { sampled }),
    ...(divergence && { divergence }),
  };
}

/** What the run stood on. */
function groundOf(
  config: Config,
  events: readonly Event[],
): Pick<Result, "environment" | "measure" | "acting" | "observations"> {
  if ("environment" in config) {
    return { environment: config.environment, measure: "return", acting: config.pops.acting };
  }
  const event = events.find(({ type }) => type === "observations");
  if (event?.type !== "observations") throw new Error("the log of a run on observations does not tell of them");
  const { sha256, by, training, selection, proof } = event;
  const { tolerance } = config.pops;
  const observations = { file: subjectOf(config), sha256, by, training, selection, proof, tolerance };
  return { measure: "agreement", acting: "greedy", observations };
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

/** The answer as a policy. It is called as its teacher is; a black box that nothing smaller took the place of stays itself. */
function answerOf(config: Config, teacher: AnyPolicy, answer: Answer): AnyPolicy {
  const { architecture, parameters, score } = answer;
  const metadata = metadataOf(
    config,
    "compact policy",
    score,
    teacher.interface ? { interface: teacher.interface } : {},
  );
  if (parameters !== null) return { ...metadata, architecture, parameters };
  if ("model" in teacher) return { ...teacher, ...metadata };
  throw new Error("the answer has no numbers");
}

/** Writes everything that a finished compression leaves; `result.json` is the last, so a folder that has it has all. */
export async function finish(
  directory: RunDirectory,
  config: Config,
  given: GivenTeacher,
  answer: Answer,
  seconds: Readonly<Record<string, number>>,
): Promise<Result> {
  const { files } = directory;
  // Against itself a teacher has no agreement worth a word.
  const teacherScore = "environment" in config ? answer.teacher.score : undefined;
  const teacher = saveTeacher(directory, config, given, teacherScore);
  const policy = answerOf(config, teacher, answer);
  writeAtomically(join(files.policies, "policy.safetensors"), policyToSafetensors(policy));
  writeAtomically(join(files.policies, "policy.onnx"), "model" in policy ? policy.file : policyToOnnx(policy));
  const code = "model" in policy ? undefined : await provenCode(config, policy, join(files.policies, "policy.c"));
  for (const [path, content] of code?.files ?? []) writeAtomically(path, Buffer.from(content));
  const events = readEvents(files.events);
  const teacherSide = await sideOf(teacher, answer.teacher);
  const policySide = await sideOf(policy, answer);
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
    ...(code && config.pops.quantize && { target: `c-${config.pops.quantize}` as const }),
    steps: stepsOf(events),
    seconds: { ...seconds, total: Object.values(seconds).reduce((total, x) => total + x, 0) },
    versions: versions(),
  };
  const report = renderReport({ result, events, config: directory.config, teacher, policy });
  writeAtomically(files.report, Buffer.from(report));
  directory.writeResult(result);
  return result;
}
