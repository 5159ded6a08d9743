import { type Architecture, layoutOf } from "../../network/architecture.ts";
import { transposed } from "../../network/parameters.ts";
import type { Network } from "../../network/policy.ts";
import type { CodedLayer } from "./layer.ts";
import { float } from "./text.ts";

/** The first layer's inputs are taken as they are, less the mean, or from where they were normalised before. */
export type Intake = "plain" | "centred" | "normalized";

/**
 * How a policy's observations get into its first layer. Pixels with one mean and one deviation are centred where they are read,
 * and the deviation is in the weights: no room for a second image is needed.
 */
export function intakeOf({ normalization, layers }: Architecture): Intake {
  if (normalization === undefined) return "plain";
  const { mean, deviation, clip } = normalization;
  const one = mean.length === 1 && deviation.length === 1 && clip === undefined;
  return one && layers[0]?.kind === "conv" ? "centred" : "normalized";
}

/** Layers in float32. */
export function floatLayers(network: Network, observations: "float" | "uint8_t"): CodedLayer[] {
  const { architecture, parameters } = network;
  const intake = intakeOf(architecture);
  const [mean = 0] = architecture.normalization?.mean ?? [];
  const [deviation = 1] = architecture.normalization?.deviation ?? [];
  return layoutOf(architecture).map((layout, l): CodedLayer => {
    const { name, inputs, outputs, positions, window, activation } = layout;
    const at = ({ offset, length }: typeof layout.weights): Float32Array =>
      parameters.subarray(offset, offset + length);
    const centred = l === 0 && intake === "centred";
    const weights = transposed(at(layout.weights), inputs, outputs);
    const raw = l === 0 && intake !== "normalized";
    const cast = raw && observations === "uint8_t" ? "(float)" : "";
    const less = centred && mean !== 0 ? ` - ${float(mean)}` : "";
    return {
      name,
      inputs,
      outputs,
      positions,
      ...(window && { window }),
      weights: centred ? weights.map((weight) => weight / deviation) : weights,
      biases: at(layout.biases),
      types: { from: raw ? observations : "float", weight: "float", sum: "float", to: "float" },
      literal: float,
      sumLiteral: float,
      input: (read) => (less ? `(${cast}${read}${less})` : `${cast}${read}`),
      patch: "float",
      factor: (read) => read,
      finish: (sum) =>
        activation === "relu" ? `${sum} > 0.0f ? ${sum} : 0.0f` : activation === "tanh" ? `tanhf(${sum})` : sum,
      vectors: true,
    };
  });
}
