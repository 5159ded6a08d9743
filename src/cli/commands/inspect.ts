import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { FileError } from "../../errors.ts";
import { readBounded } from "../../files.ts";
import { loadPolicy } from "../../importing/load.ts";
import { countsOf, describe, type LayerLayout, layoutOf, type Normalization } from "../../network/architecture.ts";
import { countNonZero } from "../../network/parameters.ts";
import { runFiles } from "../../run/directory.ts";
import { readEvents, readResult } from "../../run/read.ts";
import { parseConfig } from "../config.ts";
import { columns, comparison } from "../table.ts";
import { printable } from "../terminal.ts";

const MAX_CONFIG_BYTES = 1_000_000;

/** Shows a run's folder, or a policy file. */
export async function inspect(path: string, flags: { json?: boolean }): Promise<void> {
  const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  if (isFolder) inspectRun(path, flags.json === true);
  else await inspectPolicy(path, flags.json === true);
}

function inspectRun(path: string, json: boolean): void {
  const files = runFiles(path);
  if (!existsSync(files.config)) {
    throw new FileError(path, "is a folder without config.yaml, so it is no run: name a run's folder or a policy file");
  }
  if (existsSync(files.result)) {
    const result = readResult(files.result);
    process.stdout.write(json ? `${JSON.stringify(result)}\n` : `${comparison(result)}\n`);
    return;
  }
  const config = Buffer.from(readBounded(files.config, MAX_CONFIG_BYTES)).toString();
  const { command } = parseConfig(config, files.config);
  const events = existsSync(files.events) ? readEvents(files.events) : [];
  const teacher = join(files.policies, "teacher.safetensors");
  const trained = command !== "compress" && existsSync(teacher);
  const finished = command === "train" && trained;
  const step = events.at(-1)?.step ?? 0;
  if (json) {
    const status = { path, command, finished, events: events.length, step, ...(trained && { teacher }) };
    process.stdout.write(`${JSON.stringify(status)}\n`);
    return;
  }
  const state = finished ? "finished" : "not finished";
  process.stdout.write(`${path}: pops ${command}, ${state}, ${events.length} events, ${step} updates\n`);
  if (trained) process.stdout.write(`  ${teacher}\n`);
}

/** Inputs and units; of a convolution filters, kernel, stride, padding, and images before and after. */
function shapeOf({ inputs, outputs, window }: LayerLayout): string {
  if (window === undefined) return `${inputs} x ${outputs}`;
  const { kernel, stride, padding, from, to } = window;
  const around = padding.some((zeros) => zeros > 0) ? `, padding ${padding.join(" ")}` : "";
  const step = stride[0] === stride[1] ? stride[0] : stride.join("x");
  return `${outputs} of ${kernel.join("x")}, stride ${step}${around}: ${from.join("x")} to ${to.join("x")}`;
}

function normalizing({ mean, deviation, clip }: Normalization): string {
  const [centre, ...centres] = mean;
  const [scale, ...scales] = deviation;
  if (centres.length > 0 || scales.length > 0) return "normalised by statistics in the file";
  const lessened = centre === 0 ? "" : `lessened by ${centre} and `;
  return `${lessened}divided by ${scale}${clip === undefined ? "" : ` and limited to ±${clip}`}`;
}

async function inspectPolicy(path: string, json: boolean): Promise<void> {
  const { architecture, parameters, environment, score, provenance } = await loadPolicy(path);
  const counts = { ...countsOf(architecture), nonZero: countNonZero(architecture, parameters) };
  if (json) {
    process.stdout.write(`${JSON.stringify({ architecture, environment, ...counts, score, provenance })}\n`);
    return;
  }
  const rows = layoutOf(architecture).map((layer) => {
    const { name, outputs, activation, weights } = layer;
    const values = parameters.subarray(weights.offset, weights.offset + weights.length);
    const nonZero = values.reduce((total, w) => total + (w === 0 ? 0 : 1), 0);
    return [name, shapeOf(layer), activation, String(weights.length), String(nonZero), String(outputs)];
  });
  const table = columns([["layer", "shape", "activation", "weights", "non-zero", "biases"], ...rows]);
  const { weights, nonZero, biases, bytes, macs } = counts;
  const lines = [
    `${describe(architecture)}  ${architecture.head}  ${printable(environment ?? "no environment")}`,
    ...table.map((line) => `  ${line}`),
    `  ${weights} weights (${nonZero} non-zero), ${biases} biases, ${bytes} bytes, ${macs} multiply-adds`,
  ];
  const { normalization, gaussian } = architecture;
  if (normalization) lines.push(`  observations are ${normalizing(normalization)}, which bytes includes`);
  if (gaussian) {
    const { low, high, logStd } = gaussian;
    const parts = logStd.map((value, d) => `${low[d]} to ${high[d]} (deviation ${Math.exp(value).toPrecision(3)})`);
    lines.push(`  actions: ${parts.join(", ")}${gaussian.squash ? ", by a tanh; deviations are in front of it" : ""}`);
  }
  if (score) {
    const { mean, episodes, lower95 } = score;
    lines.push(`  score ${mean.toFixed(2)} over ${episodes} held-out episodes, 95 % lower bound ${lower95.toFixed(2)}`);
  }
  for (const [key, value] of Object.entries(provenance)) lines.push(`  ${printable(key)}: ${printable(value)}`);
  process.stdout.write(`${lines.join("\n")}\n`);
}
