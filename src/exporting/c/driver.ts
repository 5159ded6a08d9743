import { type Architecture, inputSize, outputSize } from "../../network/architecture.ts";
import type { CodeOptions } from "./source.ts";

/**
 * A program around exported C that decides for others: it reads observations from its input, [observation size] float32 (or bytes)
 * each, and answers each with its outputs as float32 and its action as float32 ([actions] numbers, or the index), until its input
 * ends. Numbers are in the byte order of the machine. `rows` are read and answered at once.
 */
export function driverOf(architecture: Architecture, options: CodeOptions, fixed: boolean, rows: number): string {
  const { prefix, file, observations, scratch } = options;
  const large = prefix.toUpperCase();
  const inputs = inputSize(architecture);
  const outputs = outputSize(architecture);
  const gaussian = architecture.gaussian !== undefined;
  const width = outputs + (gaussian ? outputs : 1);
  const room = scratch === "caller";
  const type = fixed ? "int32_t" : "float";
  const given = room ? ", (void *)scratch" : "";
  return `#include <stdio.h>
#include "${file}.h"

static ${observations} observation[${rows * inputs}];
static float answer[${rows * width}];
${room ? `static long scratch[${large}_SCRATCH_SIZE];\n` : ""}
int main(void)
{
  for (;;) {
    const size_t rows = fread(observation, sizeof *observation * ${inputs}, ${rows}, stdin);
    if (rows == 0) return 0;
    for (size_t row = 0; row < rows; row++) {
      const ${observations} *x = observation + row * ${inputs};
      float *y = answer + row * ${width};
      ${type} outputs[${outputs}];
      ${prefix}_forward(x, outputs${given});
      for (int i = 0; i < ${outputs}; i++) y[i] = ${fixed ? `(float)outputs[i] * ${large}_OUTPUT_SCALE` : "outputs[i]"};
      ${gaussian ? `${prefix}_act(x, y + ${outputs}${given});` : `y[${outputs}] = (float)${prefix}_act(x${given});`}
    }
    fwrite(answer, sizeof *answer * ${width}, rows, stdout);
    fflush(stdout);
  }
}
`;
}
