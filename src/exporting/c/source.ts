import { rangesOf as rangesOfActions } from "../../network/action.ts";
import { countsOf, describe, inputSize, outputSize } from "../../network/architecture.ts";
import { nonZeroOf, type Policy } from "../../network/policy.ts";
import { type FixedPoint, LIMIT } from "../../quantization/fixed-point.ts";
import { sha256 } from "../../seal.ts";
import { policyToSafetensors } from "../safetensors.ts";
import { VERSION } from "../version.ts";
import { fixedHelpers, fixedLayers } from "./fixed-layers.ts";
import { floatLayers, intakeOf } from "./float-layers.ts";
import { type CodedLayer, type Form, formOf, writeLayer } from "./layer.ts";
import { constants, float, inComment } from "./text.ts";

export interface CodeOptions {
  /** Begins every name: an identifier of C. */
  readonly prefix: string;
  /** Base name of the files, which the source includes the header by. */
  readonly file: string;
  /** C type of an observation's numbers. */
  readonly observations: "float" | "uint8_t";
  /** Where layers leave their numbers: in the source's own memory, or in the caller's. */
  readonly scratch: "static" | "caller";
  /** Observations that whole numbers were calibrated on, in words. */
  readonly calibration?: string | undefined;
  /** One form for all dense layers, instead of the best for each. */
  readonly form?: Form | undefined;
}

export interface Code {
  readonly header: string;
  readonly source: string;
}

/** Room that layers need between them, in numbers: two buffers, of which one is read while the other is written. */
interface Room {
  readonly type: string;
  readonly first: number;
  readonly second: number;
}

/**
 * A policy in C99, without malloc and without libc but for `tanhf`: a header that says what it is, and its source. With `fixed`,
 * which is the same policy quantised, everything between the observation and the action is in whole numbers.
 */
export function policyToC(policy: Policy, options: CodeOptions, fixed?: FixedPoint): Code {
  const { architecture } = policy;
  const layers = fixed ? fixedLayers(fixed, options.prefix) : floatLayers(policy, options.observations);
  const index = largestIndex(layers, inputSize(architecture)) > 32_767 ? "long" : "int";
  const takesIn = fixed ? !fixed.bytes : intakeOf(architecture) === "normalized";
  const room = roomOf(layers, takesIn ? inputSize(architecture) : 0, fixed);
  const writer = new Writer(policy, options, layers, room, takesIn, index, fixed);
  return { header: writer.header(), source: writer.source() };
}

/** The largest index into any of the arrays. */
function largestIndex(layers: readonly CodedLayer[], inputs: number): number {
  return Math.max(
    inputs,
    ...layers.map(({ weights, outputs, positions }) => Math.max(weights.length, outputs * positions)),
  );
}

function roomOf(layers: readonly CodedLayer[], intake: number, fixed: FixedPoint | undefined): Room {
  const sizes = layers.slice(0, -1).map(({ outputs, positions }) => outputs * positions);
  if (intake > 0) sizes.unshift(intake);
  const largest = (parity: number): number =>
    sizes.reduce((most, size, at) => (at % 2 === parity ? Math.max(most, size) : most), 0);
  return { type: fixed ? "int16_t" : "float", first: largest(0), second: largest(1) };
}

class Writer {
  readonly #policy: Policy;
  readonly #options: CodeOptions;
  readonly #layers: readonly CodedLayer[];
  readonly #room: Room;
  /** Whether observations are brought into other numbers in front of the first layer. */
  readonly #takesIn: boolean;
  readonly #index: string;
  readonly #fixed: FixedPoint | undefined;

  constructor(
    policy: Policy,
    options: CodeOptions,
    layers: readonly CodedLayer[],
    room: Room,
    takesIn: boolean,
    index: string,
    fixed: FixedPoint | undefined,
  ) {
    this.#policy = policy;
    this.#options = options;
    this.#layers = layers;
    this.#room = room;
    this.#takesIn = takesIn;
    this.#index = index;
    this.#fixed = fixed;
  }

  /** Code whose names begin with `policy_`, with the prefix that was asked for. */
  #named(text: string): string {
    const { prefix } = this.#options;
    return text.replaceAll("policy_", `${prefix}_`).replaceAll("POLICY_", `${prefix.toUpperCase()}_`);
  }

  get #scratch(): number {
    return this.#room.first + this.#room.second;
  }

  /** The last parameter of functions that need room of the caller's. */
  get #parameter(): string {
    return this.#options.scratch === "caller" ? `, ${this.#room.type} *scratch` : "";
  }

  /** The same as an argument. */
  get #argument(): string {
    return this.#parameter && ", scratch";
  }

  get #output(): string {
    return this.#fixed ? "int32_t" : "float";
  }

  get #act(): string {
    const { observations } = this.#options;
    return this.#policy.architecture.gaussian
      ? `void policy_act(const ${observations} *observation, float *action${this.#parameter})`
      : `int policy_act(const ${observations} *observation${this.#parameter})`;
  }

  get #forward(): string {
    const { observations } = this.#options;
    return `void policy_forward(const ${observations} *observation, ${this.#output} *outputs${this.#parameter})`;
  }

  header(): string {
    const { architecture } = this.#policy;
    const gaussian = architecture.gaussian !== undefined;
    const fixed = this.#fixed;
    const guard = `${this.#options.prefix.toUpperCase()}_H`;
    const outputs = fixed ? "outputs in units of POLICY_OUTPUT_SCALE" : "outputs";
    const meaning = { "q-values": "Q-values", logits: "logits", gaussian: "means of the actions" }[architecture.head];
    return `${this.#comment()}
${this.#named(`#ifndef ${guard}
#define ${guard}

#include <stdint.h>

#define POLICY_OBSERVATION_SIZE ${inputSize(architecture)}
#define POLICY_OUTPUT_SIZE ${outputSize(architecture)}
${fixed ? `#define POLICY_OUTPUT_SCALE ${float(fixed.scale)}\n` : ""}${this.#parameter ? `/* Numbers of ${this.#room.type} that scratch points to. */\n#define POLICY_SCRATCH_SIZE ${Math.max(1, this.#scratch)}\n` : ""}/* SHA-256 of the policy's .safetensors file. */
#define POLICY_SIGNATURE "${sha256(policyToSafetensors(this.#policy))}"

#ifdef __cplusplus
extern "C" {
#endif

/* observation[POLICY_OBSERVATION_SIZE] as the environment gives it, to ${outputs}[POLICY_OUTPUT_SIZE]: ${meaning}. */
${this.#forward};

/* ${gaussian ? "The greedy action, within its bounds, to action[POLICY_OUTPUT_SIZE]" : "The greedy action: the index of the largest output, the first among equals"}. */
${this.#act};

#ifdef __cplusplus
}
#endif

#endif
`)}`;
  }

  #comment(): string {
    const { architecture, environment, score, provenance } = this.#policy;
    const { weights, biases, macs } = countsOf(architecture);
    const fixed = this.#fixed;
    const says = (key: string, text: string): string => ` * ${inComment(key)}: ${inComment(text)}\n`;
    const numbers = fixed
      ? `weights int${fixed.bits}, activations int16, sums of ${fixed.layers.some(({ preShift }) => preShift > 0) ? 64 : 32} bits`
      : "float32";
    return `/*
 * ${describe(architecture)}: ${weights} weights (${nonZeroOf(this.#policy)} not 0), ${biases} biases, ${macs} multiply-adds; ${numbers}.
 * Room between layers: ${this.#scratch} numbers of ${this.#room.type}${this.#options.scratch === "caller" ? ", the caller's" : ", of the source's own: one call at a time"}.
${environment === undefined ? "" : says("environment", environment)}${score ? says("mean return of the policy in float32", `${score.mean} over ${score.episodes} episodes, 95 % lower bound ${score.lower95}`) : ""}${Object.entries(
  provenance,
)
  .map(([key, text]) => says(key, text))
  .join(
    "",
  )}${this.#options.calibration === undefined ? "" : says("calibrated on", this.#options.calibration)} * Written by pops-rl ${VERSION}; PoPS: Livne and Cohen 2020.
 */`;
  }

  source(): string {
    const { prefix, file, form, scratch } = this.#options;
    const tanh = !this.#fixed && this.#policy.architecture.layers.some(({ activation }) => activation === "tanh");
    const squash = this.#policy.architecture.gaussian?.squash === true;
    const functions = this.#layers.map((layer) =>
      writeLayer(layer, this.#index, layer.window === undefined ? (form ?? formOf(layer)) : "dense", prefix),
    );
    const own = scratch === "static" && this.#scratch > 0;
    return `#include "${file}.h"
${tanh || squash ? "\n#include <math.h>\n" : ""}
${own ? `static ${this.#room.type} scratch[${this.#scratch}];\n\n` : ""}${this.#fixed ? `${fixedHelpers(this.#fixed, prefix)}\n` : ""}${functions.join("\n")}
${this.#named(`${this.#intake()}${this.#forward}
{
${this.#calls()}}

${this.#acting()}`)}`;
  }

  /** What brings observations into the first layer's numbers, if anything does. */
  #intake(): string {
    if (!this.#takesIn) return "";
    const { architecture } = this.#policy;
    const { observations } = this.#options;
    const size = inputSize(architecture);
    const fixed = this.#fixed;
    if (fixed) {
      const [center, factor] = [fixed.centers, fixed.factors].map((values, at) =>
        numbersOf(`policy_${at === 0 ? "centers" : "factors"}`, values),
      ) as [Numbers, Numbers];
      return `${center.data}${factor.data}
static void policy_quantize(const ${observations} *x, int16_t *y)
{
  for (${this.#index} i = 0; i < ${size}; i++) {
    float value = ${center.at === float(0) ? "(float)x[i]" : `((float)x[i] - ${center.at})`} * ${factor.at};
    if (!(value > -${LIMIT}.0f)) value = -${LIMIT}.0f;
    if (value > ${LIMIT}.0f) value = ${LIMIT}.0f;
    y[i] = (int16_t)(value + (value < 0.0f ? -0.5f : 0.5f));
  }
}

`;
    }
    const { clip, ...statistics } = architecture.normalization ?? { mean: [], deviation: [] };
    const mean = numbersOf("policy_mean", statistics.mean);
    const deviation = numbersOf("policy_deviation", statistics.deviation);
    const limited =
      clip === undefined
        ? "value"
        : `value < ${float(-clip)} ? ${float(-clip)} : value > ${float(clip)} ? ${float(clip)} : value`;
    return `${mean.data}${deviation.data}
static void policy_normalize(const ${observations} *x, float *y)
{
  for (${this.#index} i = 0; i < ${size}; i++) {
    const float value = ((float)x[i] - ${mean.at}) / ${deviation.at};
    y[i] = ${limited};
  }
}

`;
  }

  /** The layers one after the other, through the two buffers by turns. */
  #calls(): string {
    const buffers = ["scratch", this.#room.second > 0 ? `scratch + ${this.#room.first}` : "scratch"];
    const { type } = this.#room;
    let calls = this.#parameter !== "" && this.#scratch === 0 ? "  (void)scratch;\n" : "";
    let from = "observation";
    let turn = 0;
    if (this.#takesIn) {
      calls += `  ${this.#fixed ? "policy_quantize" : "policy_normalize"}(observation, ${buffers[0]});\n`;
      from = buffers[0]!;
      turn = 1;
    }
    for (const [l, { name, types }] of this.#layers.entries()) {
      const last = l === this.#layers.length - 1;
      const to = last ? "outputs" : buffers[turn % 2]!;
      const read = from === "observation" || types.from === type ? from : `(const ${types.from} *)(${from})`;
      const written = last || types.to === type ? to : `(${types.to} *)(${to})`;
      calls += `  policy_${name}(${read}, ${written});\n`;
      from = to;
      turn++;
    }
    return calls;
  }

  #acting(): string {
    const { architecture } = this.#policy;
    const { gaussian } = architecture;
    const size = outputSize(architecture);
    const call = `policy_forward(observation, outputs${this.#argument});`;
    const type = this.#output;
    if (gaussian === undefined) {
      return `${this.#act}
{
  ${type} outputs[${size}];
  int best = 0;
  ${call}
  for (int i = 1; i < ${size}; i++) {
    if (outputs[i] > outputs[best]) best = i;
  }
  return best;
}
`;
    }
    const low = numbersOf("policy_low", gaussian.low);
    const high = numbersOf("policy_high", gaussian.high);
    const { middle, half } = rangesOfActions(gaussian);
    const scaled = this.#fixed ? "(float)outputs[i] * POLICY_OUTPUT_SCALE" : "outputs[i]";
    const [center, reach] = [numbersOf("policy_middle", middle), numbersOf("policy_half", half)];
    const value = gaussian.squash ? `${center.at} + ${reach.at} * tanhf(${scaled})` : scaled;
    return `${low.data}${high.data}${gaussian.squash ? center.data + reach.data : ""}
${this.#act}
{
  ${type} outputs[${size}];
  ${call}
  for (int i = 0; i < ${size}; i++) {
    const float value = ${value};
    action[i] = value < ${low.at} ? ${low.at} : value > ${high.at} ? ${high.at} : value;
  }
}
`;
  }
}

interface Numbers {
  readonly data: string;
  /** The number that belongs to element i. */
  readonly at: string;
}

/** Numbers of a table, or a literal where they are all the same. */
function numbersOf(name: string, values: ArrayLike<number>): Numbers {
  const all = Array.from(values, float);
  const [first = ""] = all;
  if (all.every((value) => value === first)) return { data: "", at: first };
  return { data: constants("float", name, all), at: `${name}[i]` };
}
