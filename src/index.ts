/**
 * PoPS as a library: train a policy, make it smaller, prove it, save it. Nothing here prints; only what is named as
 * writing a file does so.
 *
 * @module
 */

// Environments: Gymnasium's rules, your own ones included.
export type { FrameGame } from "./environment/atari/frame-game.ts";
export { AtariPreprocessing, atariSpec } from "./environment/atari/preprocessing.ts";
export { checkEnvironment } from "./environment/check.ts";
export type {
  Action,
  BoxSpace,
  DiscreteSpace,
  Environment,
  EnvironmentSpec,
  Space,
  Step,
  VectorEnvironment,
} from "./environment/environment.ts";
export type { GymnasiumReference } from "./environment/gymnasium-protocol.ts";
export { type OpenEnvironment, type OpenOptions, openEnvironment } from "./environment/open.ts";
export { environmentIds, makeEnvironment, type Registration, register, specOf } from "./environment/registry.ts";
export { box, discrete } from "./environment/spaces.ts";
export type { Color, Surface } from "./environment/surface.ts";
export { makeVector, vectorOf } from "./environment/vector.ts";
// Errors: everything that PoPS refuses.
export {
  EnvironmentError,
  FileError,
  LockedError,
  NumericError,
  ObjectiveError,
  PopsError,
  ShapeError,
  UsageError,
} from "./errors.ts";
// Scores.
export { Evaluator } from "./evaluation/evaluate.ts";
export type { Divergence } from "./evaluation/examination.ts";
// Observations that a policy meets, and what quantisation takes from them.
export { type RecordingOptions, recordObservations } from "./evaluation/recording.ts";
// What a run records.
export {
  type Checkpoint,
  type Emitted,
  EVENTS_VERSION,
  type Event,
  type EventOf,
  eventSchema,
  type QuickScore,
} from "./events.ts";
// Policy files.
export { type JsModule, policyToJs } from "./exporting/js.ts";
export type { Form } from "./exporting/js-layers.ts";
export { policyToOnnx } from "./exporting/onnx.ts";
export { policyToQuantizedOnnx, type Quantization, type QuantizedOptions } from "./exporting/onnx-quantized.ts";
export { policyToHalfSafetensors, policyToSafetensors } from "./exporting/safetensors.ts";
export { policyToSb3 } from "./exporting/sb3.ts";
export { VERSION } from "./exporting/version.ts";
export type { ImportOptions } from "./importing/dense-layers.ts";
export { loadPolicy } from "./importing/load.ts";
export { policyFromOnnx } from "./importing/onnx.ts";
export { policyFromSafetensors } from "./importing/policy-safetensors.ts";
export { policyFromSb3 } from "./importing/sb3.ts";
export { policyFromStateDict } from "./importing/state-dict.ts";
export { readTfCheckpoint, type TfVariable } from "./importing/tf-checkpoint.ts";
export { policyFromTfVariables } from "./importing/tf-policy.ts";
export { readTorch } from "./importing/torch.ts";
export { readVecNormalize } from "./importing/vec-normalize.ts";
// Policies.
export { argmax } from "./network/action.ts";
export {
  type Activation,
  type Architecture,
  architectureSchema,
  type Counts,
  checkFits,
  countsOf,
  dense,
  describe,
  type Layer,
  type LayerLayout,
  layoutOf,
  parameterCount,
} from "./network/architecture.ts";
export { countNonZero } from "./network/parameters.ts";
export { checkParameters, type Policy, type PolicyMetadata, type Score } from "./network/policy.ts";
export { predictor } from "./network/predict.ts";
// Logged observations, to compress on where there is no environment.
export type { ObservationLog } from "./observations/log.ts";
export { readObservations } from "./observations/read.ts";
export { policyToPage } from "./page/page.ts";
export type { Plain, PlainArray } from "./plain.ts";
export type { PopsContext } from "./pops/context.ts";
export { type PopsOptions, popsSchema } from "./pops/options.ts";
// The algorithms: async generators of events and checkpoints.
export { type Outcome, type Plan, pipeline } from "./pops/pipeline.ts";
export { type Answer, pops } from "./pops/pops.ts";
export type { PopsState } from "./pops/state.ts";
export { Pcg64, stream } from "./random/pcg64.ts";
export { type ReportInput, renderReport } from "./report/report.ts";
// Runs on disk.
export { RunDirectory, type RunFiles, runFiles } from "./run/directory.ts";
export { type Restored, restore } from "./run/generations.ts";
export { readEvents, readResult } from "./run/read.ts";
export { type Recorded, type RecordOptions, record } from "./run/record.ts";
export { type Result, resultSchema, type Side } from "./run/result.ts";
export { type DqnOptions, type DqnState, dqnSchema, trainDqn } from "./teacher/dqn.ts";
export { type PpoOptions, type PpoState, ppoSchema, trainPpo } from "./teacher/ppo.ts";
export type { Teacher } from "./teacher/teacher.ts";
