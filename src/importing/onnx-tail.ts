import type { BoxSpace, EnvironmentSpec } from "../environment/environment.ts";
import type { AnyArchitecture } from "../network/architecture.ts";
import { type Interface, type InterfaceOutput, interfaceSchema, misfit } from "../network/interface.ts";
import { elementsOf } from "../shape.ts";
import type { OnnxDims, OnnxModel, OnnxValue } from "../tensor/onnx-model.ts";
import type { Chain, ImportOptions } from "./dense-layers.ts";
import { type ModelInput, shown } from "./onnx-graph.ts";
import { affine, type Flow, isAffine, isRelu, limitsOf, type Step } from "./onnx-steps.ts";

/** What stands behind a network: how a model makes its output of the network's outputs. */
interface Tail {
  readonly gives: InterfaceOutput["gives"];
  /** What it says of the outputs in front of it. */
  readonly acting: Pick<Chain, "head" | "bounds" | "squash">;
}

/** A flow in two: the network's own steps, and what chooses an action behind them. */
export interface Split {
  readonly body: readonly Step[];
  readonly tail: Tail;
  /** Name of the value that holds the network's outputs; `undefined` where that is the flow's own. */
  readonly outputs: string | undefined;
}

type Options = Pick<ImportOptions, "head" | "environment">;

/** Takes off what stands behind the network: Softmax, ArgMax, a Clip to bounds, or for continuous actions a Tanh, alone or rescaled. */
export function splitTail({ steps, shape }: Flow, options: Options): Split {
  const start = tailStart(steps, options);
  const body = steps.slice(0, start);
  const rest = steps.slice(start);
  const [first] = rest;
  const tail = first && readTail(rest, elementsOf(shape), options.environment);
  return tail
    ? { body, tail, outputs: first.takes }
    : { body: steps, tail: { gives: "values", acting: {} }, outputs: undefined };
}

function tailStart(steps: readonly Step[], { head, environment }: Options): number {
  const before = (end: number, test: (step: Step) => boolean): number => {
    let start = end;
    for (let step = steps[start - 1]; step && test(step); step = steps[start - 1]) start--;
    return start;
  };
  const choice = before(steps.length, ({ kind }) => ["softmax", "log-softmax", "argmax"].includes(kind));
  if (choice < steps.length || (head !== undefined && head !== "gaussian")) return choice;
  const clips = before(steps.length, (step) => step.kind === "clip" && !isRelu(step));
  const rescaled = before(clips, isAffine);
  const continuous = head === "gaussian" || environment?.actionSpace.kind === "box";
  const acts = continuous || clips < steps.length || rescaled < clips;
  return acts && steps[rescaled - 1]?.kind === "tanh" ? rescaled - 1 : clips;
}

/** What the steps behind a network of that many outputs are; `undefined` for what is none of the known endings. */
function readTail(rest: readonly Step[], outputs: number, environment: EnvironmentSpec | undefined): Tail | undefined {
  const box = environment?.actionSpace.kind === "box" ? environment.actionSpace : undefined;
  const kinds = rest.map(({ kind }) => kind).join();
  switch (kinds) {
    case "":
      return { gives: "values", acting: {} };
    case "argmax":
      return { gives: "choice", acting: { head: "q-values" } };
    case "softmax":
    // The softmax of a logarithm of a softmax is that softmax: so Stable-Baselines3 comes to its probabilities.
    case "log-softmax,softmax":
      return { gives: "probabilities", acting: { head: "logits" } };
    case "log-softmax":
      return { gives: "log-probabilities", acting: { head: "logits" } };
    case "softmax,argmax":
    case "log-softmax,argmax":
    case "log-softmax,softmax,argmax":
      return { gives: "choice", acting: { head: "logits" } };
  }
  const [first] = rest;
  const clips = rest.filter((step) => step.kind === "clip");
  const limits = clips.length > 0 ? limitsOf(clips, outputs) : undefined;
  if (first?.kind === "clip") {
    const finite = limits && [...limits.low, ...limits.high].every(Number.isFinite);
    return finite && clips.length === rest.length
      ? { gives: "action", acting: { head: "gaussian", bounds: near(limits, box) } }
      : undefined;
  }
  const scaling = rest.filter(isAffine);
  if (first?.kind !== "tanh" || 1 + scaling.length + clips.length !== rest.length) return undefined;
  const { scale, shift } = affine(scaling, outputs);
  const low = Array.from(shift, (middle, d) => middle - scale[d]!);
  const high = Array.from(shift, (middle, d) => middle + scale[d]!);
  // SB3's recipe for SAC ends with the tanh: there the environment's wrapper brings it onto the range.
  const alone = scaling.length === 0;
  const bounds = near(alone && box ? box : { low, high }, box);
  // A limit behind it may only take off what rounding added.
  const loose = limits?.low.every((limit, d) => limit <= low[d]! + SLACK * scale[d]!);
  const wide = limits?.high.every((limit, d) => limit >= high[d]! - SLACK * scale[d]!);
  if (loose === false || wide === false || !scale.every((half) => half > 0)) return undefined;
  return { gives: alone ? "squashed" : "action", acting: { head: "gaussian", squash: true, bounds } };
}

/** Of float32, relative. */
const SLACK = 1e-6;

type Bounds = NonNullable<Chain["bounds"]>;

function close(a: Bounds, b: Bounds): boolean {
  const equal = (x: readonly number[], y: readonly number[]): boolean =>
    x.length === y.length && x.every((value, d) => Math.abs(value - y[d]!) <= SLACK * Math.max(1, Math.abs(value)));
  return equal(a.low, b.low) && equal(a.high, b.high);
}

/** The environment's own bounds, where those of the model are equal up to rounding. */
function near(bounds: Bounds, box: BoxSpace | undefined): Bounds {
  return box && close(bounds, box) ? box : bounds;
}

/** Where a network's outputs stand in a graph: behind these steps from a value of that name. */
export interface NetworkPlace {
  readonly from: string;
  readonly body: readonly Step[];
  /** The model takes images [height, width, channels], the policy [channels, height, width]. */
  readonly channelsLast?: boolean;
}

/**
 * How a model is called, as far as a policy can be called like that: with those of its outputs that are made of the
 * network's outputs.
 *
 * @param known what became of the observation at an output, and the output's dimensions; `undefined` where that is not understood
 * @param normalized whoever calls the model normalises the observations
 * @returns the interface, or why no policy can have it
 */
export function interfaceOf(
  { graph, opset, irVersion }: OnnxModel,
  { name, dtype, dims }: ModelInput,
  place: NetworkPlace,
  architecture: AnyArchitecture,
  known: {
    readonly flowOf: (output: string) => Flow | undefined;
    readonly dimsOf: (output: OnnxValue) => OnnxDims | undefined;
  },
  normalized: boolean,
): Interface | string {
  const shared = {
    opset: Math.min(opset, 21),
    irVersion: Math.min(Math.max(irVersion, 4), 10),
    input: { name, dtype, dims, ...(place.channelsLast && { channelsLast: true }) },
    ...(normalized && { normalized }),
  };
  const given = (output: OnnxValue): unknown => {
    const gives = givenBy(known.flowOf(output.name), place, architecture);
    const dims = gives && known.dimsOf(output);
    return gives && { name: output.name, dtype: output.dtype, ...(dims && { dims }), gives };
  };
  const outputs: unknown[] = [];
  const leftOut: string[] = [];
  const reasons: string[] = [];
  const read = (some: readonly unknown[], others: readonly string[]): Interface | string => {
    const { data, error } = interfaceSchema.safeParse({ ...shared, outputs: some, leftOut: others });
    const [issue] = error?.issues ?? [];
    return data ?? `${issue?.path.join(".")}: ${issue?.message}`;
  };
  for (const output of graph.outputs) {
    const one = given(output);
    const alone = one ? read([one], []) : `output ${shown(output.name)} is not made of the numbers by which it acts`;
    const reason = typeof alone === "string" ? alone : misfit(alone, architecture);
    if (reason === undefined) outputs.push(one);
    else {
      leftOut.push(output.name);
      reasons.push(reason);
    }
  }
  return outputs.length > 0 ? read(outputs, leftOut) : (reasons[0] ?? "there is no output");
}

function givenBy(
  flow: Flow | undefined,
  { from, body }: NetworkPlace,
  { gaussian }: AnyArchitecture,
): Tail["gives"] | undefined {
  if (flow?.from !== from || body.some((step, index) => flow.steps[index] !== step)) return undefined;
  const tail = readTail(flow.steps.slice(body.length), elementsOf(flow.shape), undefined);
  if (tail?.gives !== "action") return tail?.gives;
  const { bounds, squash = false } = tail.acting;
  return gaussian && bounds && close(bounds, gaussian) && squash === Boolean(gaussian.squash) ? "action" : undefined;
}
