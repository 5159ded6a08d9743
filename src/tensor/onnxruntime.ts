// First: modules are run in the order of their imports.
import "./no-telemetry.ts";

export { env, InferenceSession, Tensor } from "onnxruntime-node";
