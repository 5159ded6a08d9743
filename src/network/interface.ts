import { z } from "zod";
import { elementsOf } from "../shape.ts";
import { type AnyArchitecture, type Architecture, inputSize, outputSize } from "./architecture.ts";

const name = z.string().min(1).max(1_000);
/** Sizes, the batch first; a text names one that is known when the model runs. */
const dims = z.array(z.union([z.number().int().min(1).max(1_000_000), z.string().max(1_000)])).max(16);

const inputSchema = z
  .strictObject({
    name,
    dtype: z.enum(["float32", "float64", "uint8"]),
    dims: dims.min(2),
    /** Images come as [height, width, channels], where the policy has [channels, height, width]. */
    channelsLast: z.literal(true).exactOptional(),
  })
  .refine((input) => !input.channelsLast || input.dims.length === 4, { message: "has channels, but no images" });

const outputSchema = z.strictObject({
  name,
  dtype: z.enum(["float32", "float64", "int32", "int64"]),
  /** As the model states them; without them those that `gives` has by itself. */
  dims: dims.exactOptional(),
  gives: z.enum(["values", "probabilities", "log-probabilities", "choice", "action", "squashed"]),
});

/**
 * How an ONNX file of a policy is called: names, types and shapes of the model that it takes the place of. What an output
 * gives is made from the network's own outputs: these as they are (`values`), their (log of the) softmax, the greedy `choice`,
 * the greedy `action` of a Gaussian, within its bounds or squashed onto them, or the tanh of its means alone (`squashed`).
 */
export const interfaceSchema = z
  .strictObject({
    opset: z.number().int().min(11).max(21),
    irVersion: z.number().int().min(4).max(10),
    input: inputSchema,
    /** The caller normalises the observations, by the statistics that the policy has: the file does not do it again. */
    normalized: z.literal(true).exactOptional(),
    outputs: z.array(outputSchema).min(1).max(100),
    /** Outputs of that model which this policy cannot give. */
    leftOut: z.array(name).max(100),
  })
  .superRefine(({ input, outputs }, context) => {
    const names = [input.name, ...outputs.map((output) => output.name)];
    const twice = names.find((one, index) => names.indexOf(one) !== index);
    if (twice !== undefined) {
      context.addIssue({ code: "custom", path: ["outputs"], message: `has the name ${JSON.stringify(twice)} twice` });
    }
  });

/** How an ONNX file of a policy is called. */
export type Interface = z.infer<typeof interfaceSchema>;
/** One of its outputs. */
export type InterfaceOutput = Interface["outputs"][number];

const valueNames = { "q-values": "q_values", logits: "logits", gaussian: "mean" } as const;

/** The interface of a policy that takes no other model's place. */
export function ownInterface(architecture: Architecture, action = true): Interface {
  const { input, head, gaussian } = architecture;
  const row = ["batch", outputSize(architecture)];
  const greedy: InterfaceOutput = gaussian
    ? { name: "action", dtype: "float32", dims: row, gives: "action" }
    : { name: "action", dtype: "int64", dims: ["batch"], gives: "choice" };
  return {
    opset: 21,
    irVersion: 10,
    input: { name: "observation", dtype: "float32", dims: ["batch", ...input] },
    outputs: [{ name: valueNames[head], dtype: "float32", dims: row, gives: "values" }, ...(action ? [greedy] : [])],
    leftOut: [],
  };
}

/** What is wrong with calling a policy of that architecture like that; `undefined` where nothing is. */
export function misfit(face: Interface, architecture: AnyArchitecture): string | undefined {
  const { gaussian, normalization } = architecture;
  const [batch, ...shape] = face.input.dims;
  if (shape.every((dim) => typeof dim === "number") && elementsOf(shape) !== inputSize(architecture)) {
    return `takes [${face.input.dims.join(", ")}], the policy ${inputSize(architecture)} numbers`;
  }
  if (face.normalized && !normalization) return "takes normalised observations, the policy has no statistics";
  const strange = face.outputs.find((output) => {
    const { gives, dtype } = output;
    if (gives === "squashed" && !gaussian?.squash) return true;
    if (gives !== "values" && gives !== "squashed" && (gives === "action") !== (gaussian !== undefined)) return true;
    if (gives !== "choice" && dtype.startsWith("int")) return true;
    return reshaping(output, batch, outputSize(architecture)) === undefined;
  });
  return strange && `has an output ${JSON.stringify(strange.name)} that the policy cannot give`;
}

/**
 * The sizes to which an output has to be brought to have the stated ones, -1 for the batch; `as-is` where it has them by
 * itself, `undefined` where there is no way to them.
 *
 * @param batch as the input states it
 * @param actions numbers of a row
 */
export function reshaping(
  { gives, dims }: Pick<InterfaceOutput, "gives" | "dims">,
  batch: number | string | undefined,
  actions: number,
): readonly number[] | "as-is" | undefined {
  const own = gives === "choice" ? [] : [actions];
  if (dims === undefined) return "as-is";
  const [first, ...rest] = dims;
  const fits = rest.every((dim, axis) => typeof dim === "string" || dim === own[axis]);
  if (dims.length === own.length + 1 && fits) return "as-is";
  const sizes = dims.filter((dim) => typeof dim === "number");
  if (typeof first === "string") {
    return sizes.length === rest.length && elementsOf(sizes) === elementsOf(own) ? [-1, ...sizes] : undefined;
  }
  const known = sizes.length === dims.length && typeof batch === "number";
  return known && elementsOf(sizes) === batch * elementsOf(own) ? sizes : undefined;
}
