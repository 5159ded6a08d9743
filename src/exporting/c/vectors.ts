import { argmax, boundActions } from "../../network/action.ts";
import { type Architecture, inputSize, outputSize } from "../../network/architecture.ts";
import type { Policy } from "../../network/policy.ts";
import { predictor } from "../../network/predict.ts";
import type { FixedPoint } from "../../quantization/fixed-point.ts";
import { fixedPredictor } from "../../quantization/run.ts";
import { stream } from "../../random/pcg64.ts";
import type { CodeOptions } from "./source.ts";
import { constants, float } from "./text.ts";

/** Observations of a test, fewer where they are large. */
const VECTORS = 16;
const NUMBERS = 60_000;

/** So many observations that look like a policy's: bytes, or normal numbers in deviations of its statistics. */
function syntheticObservations(
  { normalization, ...architecture }: Architecture,
  observations: CodeOptions["observations"],
  rows: number,
): Float32Array {
  const width = inputSize(architecture);
  const random = stream(1, "vectors");
  const of = (values: number[] | undefined, i: number, otherwise: number): number =>
    values?.[values.length === 1 ? 0 : i % width] ?? otherwise;
  return Float32Array.from({ length: rows * width }, (_, i) =>
    observations === "uint8_t"
      ? random.integer(256)
      : of(normalization?.mean, i, 0) + of(normalization?.deviation, i, 1) * random.normal(),
  );
}

/**
 * A program that holds exported C against what the policy itself answers: it says how many observations agree, and ends with 0 if all
 * do. Whole numbers have to be equal; floats within 1e-5 of the largest output.
 *
 * @param recorded [rows, observation size]; synthetic ones are taken if there are none
 */
export function testOf(
  policy: Policy,
  options: CodeOptions,
  fixed?: FixedPoint,
  recorded?: Float32Array | Uint8Array,
): string {
  const { architecture } = policy;
  const { prefix, file, scratch } = options;
  const large = prefix.toUpperCase();
  const width = inputSize(architecture);
  const size = outputSize(architecture);
  const wanted = Math.max(1, Math.min(VECTORS, Math.floor(NUMBERS / width)));
  const all = recorded ?? syntheticObservations(architecture, options.observations, wanted);
  const rows = Math.min(wanted, all.length / width);
  // From all of what was recorded: an episode's first observations are much alike.
  const apart = Math.floor(all.length / width / rows);
  const predict = fixed ? fixedPredictor(fixed) : predictor(policy);
  const observations: string[] = [];
  const outputs: string[] = [];
  const actions: string[] = [];
  let largest = 1;
  let largestAction = 1;
  for (let row = 0; row < rows; row++) {
    const observation = Float32Array.from(all.subarray(row * apart * width, (row * apart + 1) * width));
    for (const value of observation)
      observations.push(options.observations === "uint8_t" ? String(value) : float(value));
    const found = predict(observation);
    for (const value of found) {
      outputs.push(fixed ? String(value) : float(value));
      largest = Math.max(largest, Math.abs(value));
    }
    if (architecture.gaussian) {
      const bounded = Float32Array.from(found, (value) => (fixed ? Math.fround(value) * fixed.scale : value));
      boundActions(architecture, bounded);
      for (const value of bounded) {
        actions.push(float(value));
        largestAction = Math.max(largestAction, Math.abs(value));
      }
    } else actions.push(String(argmax(found)));
  }
  const type = fixed ? "int32_t" : "float";
  const given = scratch === "caller" ? ", scratch" : "";
  const acts = architecture.gaussian ? size : 1;
  const near = (a: string, b: string, within: string): string =>
    `(${a} > ${b} ? ${a} - ${b} : ${b} - ${a}) > ${within}`;
  return `/* Holds ${file}.c against what the policy itself answers: ends with 0 if all agree. */
#include <stdio.h>
#include "${file}.h"

${constants(options.observations, "observations", observations)}
${constants(type, "expected", outputs)}
${constants(architecture.gaussian ? "float" : "int", "actions", actions)}
int main(void)
{
${scratch === "caller" ? `  static ${fixed ? "int16_t" : "float"} scratch[${large}_SCRATCH_SIZE];\n` : ""}  int agree = 0;
  for (int row = 0; row < ${rows}; row++) {
    const ${options.observations} *observation = observations + row * ${large}_OBSERVATION_SIZE;
    ${type} outputs[${large}_OUTPUT_SIZE];
    int differs = 0;
    ${prefix}_forward(observation, outputs${given});
    for (int i = 0; i < ${large}_OUTPUT_SIZE; i++) {
      const ${type} value = expected[row * ${large}_OUTPUT_SIZE + i];
      if (${fixed ? "outputs[i] != value" : near("outputs[i]", "value", float(1e-5 * largest))}) differs = 1;
    }
${
  architecture.gaussian
    ? `    float action[${large}_OUTPUT_SIZE];
    ${prefix}_act(observation, action${given});
    for (int i = 0; i < ${acts}; i++) {
      const float value = actions[row * ${acts} + i];
      if (${near("action[i]", "value", float(1e-5 * largestAction))}) differs = 1;
    }
`
    : `    if (${prefix}_act(observation${given}) != actions[row]) differs = 1;\n`
}    if (!differs) agree++;
  }
  printf("%d of ${rows} observations agree\\n", agree);
  return agree == ${rows} ? 0 : 1;
}
`;
}
