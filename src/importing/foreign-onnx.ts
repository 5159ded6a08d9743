import { FileError } from "../errors.ts";
import type { Policy } from "../network/policy.ts";
import type { OnnxModel } from "../tensor/onnx-model.ts";
import type { ImportOptions } from "./dense-layers.ts";

export function policyFromForeignOnnx(_model: OnnxModel, path: string, _options: ImportOptions): Policy {
  throw new FileError(path, "is an ONNX model without a PoPS policy (no metadata entry pops)");
}
