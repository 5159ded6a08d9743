import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { isInPython } from "../../environment/gymnasium-protocol.ts";
import { isModule } from "../../environment/module.ts";
import { environmentIds } from "../../environment/registry.ts";
import { FileError, UsageError } from "../../errors.ts";
import { loadTeacher } from "../../importing/load.ts";
import { countsOf, describe, type LayerLayout, layoutOf, type Normalization } from "../../network/architecture.ts";
import { nonZeroOf, type Policy } from "../../network/policy.ts";
import { runFiles } from "../../run/directory.ts";
import { readConfig, readEvents, readResult } from "../../run/read.ts";
import { parseConfig, presetNames } from "../config.ts";
import { ownEnvironment } from "../environment.ts";
import { columns, comparison, environmentTable } from "../table.ts";
import { aboutInterface } from "../teacher.ts";
import { printable, shellWord } from "../terminal.ts";

/** Shows a run's folder, a policy file, or an environment of the user's own, which is checked. */
export async function inspect(path: string, flags: { json?: boolean }): Promise<void> {
  if (isModule(path)) {
    await inspectModule(path, flags.json === true);
    return;
  }
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found && (isInPython(path) || environmentIds().includes(path))) {
    throw new UsageError(
      "path",
      `${path} is an environment: pops settings ${shellWord(path)} shows what can be set in it`,
    );
  }
  if (found?.isDirectory()) inspectRun(path, flags.json === true);
  else await inspectPolicy(path, flags.json === true);
}

async function inspectModule(path: string, json: boolean): Promise<void> {
  const { spec } = await ownEnvironment(path);
  if (json) {
    process.stdout.write(`${JSON.stringify(spec)}\n`);
    return;
  }
  const lines = environmentTable([{ ...spec, presets: presetNames(spec.id) }]).map((line) => `  ${line}\n`);
  process.stdout.write(`${path}: keeps the contract of environments\n${lines.join("")}`);
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
  const { command } = parseConfig(readConfig(files.config), files.config);
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
  const [centre = 0] = mean;
  const [scale = 1] = deviation;
  if (mean.length > 1 || deviation.length > 1) return "normalised by statistics in the file";
  const moved = centre === 0 ? "" : `moved by ${-centre} and `;
  return `${moved}divided by ${scale}${clip === undefined ? "" : ` and limited to ±${clip}`}`;
}

/** A row a layer. */
function tableOf({ architecture, parameters }: Policy): string[] {
  const rows = layoutOf(architecture).map((layer) => {
    const { name, outputs, activation, weights } = layer;
    const values = parameters.subarray(weights.offset, weights.offset + weights.length);
    const nonZero = values.reduce((total, w) => total + (w === 0 ? 0 : 1), 0);
    return [name, shapeOf(layer), activation, String(weights.length), String(nonZero), String(outputs)];
  });
  return columns([["layer", "shape", "activation", "weights", "non-zero", "biases"], ...rows]);
}

async function inspectPolicy(path: string, json: boolean): Promise<void> {
  const policy = await loadTeacher(path);
  const { architecture, environment, gymnasium, score, provenance, interface: face } = policy;
  const counts = { ...countsOf(architecture), nonZero: nonZeroOf(policy) };
  if (json) {
    const known = {
      architecture,
      environment,
      gymnasium,
      ...counts,
      score,
      provenance,
      ...(face && { interface: face }),
    };
    process.stdout.write(`${JSON.stringify(known)}\n`);
    return;
  }
  const table = "model" in policy ? [`a black box: ${policy.architecture.model.nodes} nodes`] : tableOf(policy);
  const { weights, nonZero, biases, bytes, macs } = counts;
  const lines = [
    `${describe(architecture)}  ${architecture.head}  ${printable(environment ?? "no environment")}`,
    ...table.map((line) => `  ${line}`),
    `  ${weights} weights (${nonZero} non-zero), ${biases} biases, ${bytes} bytes, ${macs} multiply-adds`,
  ];
  for (const [key, words] of Object.entries(gymnasium ?? {})) {
    lines.push(`  made with ${key}: ${printable([words].flat().join(", "))}`);
  }
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
  for (const line of aboutInterface(policy)) lines.push(`  ${line}`);
  for (const [key, value] of Object.entries(provenance)) lines.push(`  ${printable(key)}: ${printable(value)}`);
  process.stdout.write(`${lines.join("\n")}\n`);
}
