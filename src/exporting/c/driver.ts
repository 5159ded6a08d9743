import { type Architecture, inputSize, outputSize } from "../../network/architecture.ts";
import type { CodeOptions } from "./source.ts";

/** Decisions of a timed round take at least so many seconds of the processor's. */
const ROUND_SECONDS = 0.004;
const ROUNDS = 15;

/**
 * A program around exported C that decides for others, in the byte order of the machine. It reads a number of rows (uint32) and so
 * many observations ([observation size] float32, or bytes), and answers each with its outputs as float32 and its action as float32
 * ([outputs] numbers, or the index), until its input ends. Named `time` on its command line, it decides about the first rows
 * that it reads over and over, and prints nanoseconds a decision, `ROUNDS` lines of them.
 */
export function driverOf(architecture: Architecture, options: CodeOptions, fixed: boolean): string {
  const { prefix, file, observations, scratch } = options;
  const large = prefix.toUpperCase();
  const outputs = outputSize(architecture);
  const gaussian = architecture.gaussian !== undefined;
  const width = outputs + (gaussian ? outputs : 1);
  const given = scratch === "caller" ? ", (void *)scratch" : "";
  const act = (x: string, action: string): string =>
    gaussian ? `${prefix}_act(${x}, ${action}${given});` : `*(${action}) = (float)${prefix}_act(${x}${given});`;
  return `#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "${file}.h"

#define INPUTS ${inputSize(architecture)}
${scratch === "caller" ? `static long scratch[${large}_SCRATCH_SIZE];\n` : ""}
static void answer(const ${observations} *x, float *y)
{
  ${fixed ? "int32_t" : "float"} outputs[${outputs}];
  ${prefix}_forward(x, outputs${given});
  for (int i = 0; i < ${outputs}; i++) y[i] = ${fixed ? `(float)outputs[i] * ${large}_OUTPUT_SCALE` : "outputs[i]"};
  ${act("x", `y + ${outputs}`)}
}

static int measure(void)
{
  uint32_t count;
  if (fread(&count, sizeof count, 1, stdin) != 1) return 1;
  ${observations} *rows = malloc(count * sizeof *rows * INPUTS);
  volatile float seen;
  long times = 1;
  if (rows == NULL || fread(rows, sizeof *rows * INPUTS, count, stdin) != count) return 1;
  for (int round = 0; round < ${ROUNDS};) {
    const clock_t start = clock();
    for (long i = 0; i < times; i++) {
      float action[${gaussian ? outputs : 1}];
      ${act("rows + (unsigned long)i % count * INPUTS", "action")}
      seen = action[0];
    }
    const double elapsed = (double)(clock() - start) / CLOCKS_PER_SEC;
    if (elapsed < ${ROUND_SECONDS}) times *= 2;
    else {
      printf("%f\\n", 1e9 * elapsed / (double)times);
      round++;
    }
  }
  (void)seen;
  free(rows);
  return 0;
}

int main(int count_of_arguments, char **arguments)
{
  static ${observations} x[INPUTS];
  float y[${width}];
  uint32_t count;
  (void)arguments;
  if (count_of_arguments > 1) return measure();
  while (fread(&count, sizeof count, 1, stdin) == 1) {
    for (; count > 0; count--) {
      if (fread(x, sizeof *x, INPUTS, stdin) != INPUTS) return 1;
      answer(x, y);
      fwrite(y, sizeof *y, ${width}, stdout);
    }
    fflush(stdout);
  }
  return 0;
}
`;
}
