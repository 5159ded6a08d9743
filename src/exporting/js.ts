import { rangesOf } from "../network/action.ts";
import { type Architecture, describe, inputSize, layoutOf, outputSize } from "../network/architecture.ts";
import type { Policy } from "../network/policy.ts";
import { sha256 } from "../seal.ts";
import { type Form, floatsCode, layerCode } from "./js-layers.ts";
import { policyToSafetensors } from "./safetensors.ts";
import { VERSION } from "./version.ts";

/** A policy as a JavaScript module, and the types of what it exports. */
export interface JsModule {
  /** ECMAScript 2020, nothing but ASCII. */
  readonly code: string;
  /** What belongs beside it as `.d.ts` (of `.mjs`: `.d.mts`). */
  readonly types: string;
}

/**
 * A policy as one module without imports, for browsers, workers and Node: `forward(observation, out?)` gives the network's outputs,
 * `act(observation)` the greedy action, `meta` says what it is. Observations are as the environment gives them, the policy's
 * statistics are applied. Outputs are those of `predictor`: float64 sums, rounded to float32 after each layer. Equal policies give equal text.
 *
 * @param form of all dense layers; by default each has the one that is quickest
 * @throws ShapeError when parameters are missing or not finite, or the metadata is out of bounds
 */
export function policyToJs(policy: Policy, form?: Form): JsModule {
  const { architecture, parameters } = policy;
  const meta = metaOf(policy);
  const layers = layoutOf(architecture).map((layer, l) => layerCode(layer, parameters, l + 1, form));
  const last = layers.length;
  const outputs = outputSize(architecture);
  const buffers = [inputSize(architecture), ...layers.map(({ room }) => room)];
  const code = `// A policy, written by pops-rl ${VERSION}. forward(observation, out?) gives the outputs of its network, act(observation)
// its greedy action; meta says what it is.

${freezeCode}
export const meta = freeze(JSON.parse(${literal(JSON.stringify(meta))}));

${layers.some(({ code: text }) => text.includes("floats(")) ? `${floatsCode}\n` : ""}
${buffers.map((length, n) => `const x${n} = new Float32Array(${length});`).join("\n")}
${layers.map(({ code: text }) => text).join("\n")}
${readCode(architecture)}
function run(observation) {
  read(observation);
${layers.map((_, l) => `  layer${l + 1}();`).join("\n")}
}

export function forward(observation, out = new Float32Array(${outputs})) {
  if (out.length !== ${outputs}) throw new RangeError(\`out has \${out.length} numbers, this policy gives ${outputs}\`);
  run(observation);
  for (let j = 0; j < ${outputs}; j++) out[j] = x${last}[j];
  return out;
}

${actCode(architecture, `x${last}`)}
`;
  return { code, types: typesOf(architecture) };
}

/** What a module says of itself; its keys are documented by `typesOf`. */
function metaOf(policy: Policy): object {
  const { architecture, environment, score, provenance } = policy;
  return {
    version: VERSION,
    sha256: sha256(policyToSafetensors(policy)),
    layers: describe(architecture),
    input: architecture.input,
    outputs: outputSize(architecture),
    head: architecture.head,
    environment,
    score,
    provenance,
  };
}

/** A string as JavaScript in ASCII that neither a tag of HTML nor a line break can be read out of. */
function literal(text: string): string {
  const escaped = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return JSON.stringify(text).replace(/[^ -~]|</g, escaped);
}

const freezeCode = `function freeze(value) {
  if (typeof value === "object") Object.values(value).forEach(freeze);
  return Object.freeze(value);
}`;

/** Checks an observation, and brings it into `x0` as the first layer takes it. */
function readCode(architecture: Architecture): string {
  const size = inputSize(architecture);
  const { normalization } = architecture;
  let value = "observation[i]";
  let constants = "";
  if (normalization) {
    const { clip } = normalization;
    const [mean, deviation] = (["mean", "deviation"] as const).map((name) => {
      const numbers = normalization[name];
      if (numbers.length === 1) return `${numbers[0]}`;
      constants += `const ${name} = [${numbers.join()}];\n`;
      return `${name}[i]`;
    });
    value = `(Math.fround(observation[i]) - ${mean}) / ${deviation}`;
    if (clip !== undefined) value = `Math.min(Math.max(${value}, ${-clip}), ${clip})`;
  }
  return `${constants}function read(observation) {
  if (observation.length !== ${size}) throw new RangeError(\`an observation has ${size} numbers here, not \${observation.length}\`);
  for (let i = 0; i < ${size}; i++) x0[i] = ${value};
}`;
}

function actCode({ gaussian }: Architecture, outputs: string): string {
  if (gaussian === undefined) {
    return `export function act(observation) {
  run(observation);
  let best = 0;
  for (let j = 1; j < meta.outputs; j++) if (${outputs}[j] > ${outputs}[best]) best = j;
  return best;
}`;
  }
  const { low, high, squash } = gaussian;
  const { middle, half } = rangesOf(gaussian);
  const actions = low.map((lowest, d) => {
    const mean = `${outputs}[${d}]`;
    const acts = squash ? `${middle[d]} + ${half[d]} * Math.tanh(${mean})` : mean;
    return `Math.min(Math.max(${acts}, ${lowest}), ${high[d]})`;
  });
  return `export function act(observation) {
  run(observation);
  return Float32Array.of(
    ${actions.join(",\n    ")},
  );
}`;
}

function typesOf({ head, gaussian }: Architecture): string {
  const action = gaussian ? "Float32Array" : "number";
  const acts = gaussian
    ? "The greedy action: the Gaussian's mean within the bounds of the actions, in the environment's units."
    : "The greedy action: the index of the largest output, the first among equals.";
  return `/**
 * The outputs of the network (${head}), in float32.
 *
 * @param observation as the environment gives it, flat and row-major
 * @param out where they go; a new array if not given
 * @throws RangeError when either has another length than the policy's
 */
export declare function forward(observation: ArrayLike<number>, out?: Float32Array): Float32Array;

/**
 * ${acts}
 *
 * @throws RangeError when the observation has another length than the policy's
 */
export declare function act(observation: ArrayLike<number>): ${action};

/** What the policy is; frozen. */
export declare const meta: {
  /** Of pops-rl that wrote the module. */
  readonly version: string;
  /** SHA-256 of the policy as \`pops export safetensors\` writes it. */
  readonly sha256: string;
  /** Units of each layer, the input first. */
  readonly layers: string;
  /** Shape of an observation. */
  readonly input: readonly number[];
  /** Number of outputs. */
  readonly outputs: number;
  /** What the outputs mean. */
  readonly head: "q-values" | "logits" | "gaussian";
  /** Id of the environment that the policy was made for. */
  readonly environment?: string;
  /** Mean return over held-out episodes of that environment, with its uncertainty. */
  readonly score?: {
    readonly mean: number;
    readonly sd: number;
    readonly min: number;
    readonly lower95: number;
    readonly interval95: readonly [number, number];
    readonly episodes: number;
  };
  /** Who made it, from what: text by key. */
  readonly provenance: Readonly<Record<string, string>>;
};
`;
}
