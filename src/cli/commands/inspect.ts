import { existsSync, statSync } from "node:fs";
import { loadPolicy } from "../../importing/load.ts";
import { countsOf, describe, layoutOf } from "../../network/architecture.ts";
import { countNonZero } from "../../network/parameters.ts";
import { runFiles } from "../../run/directory.ts";
import { readEvents, readResult } from "../../run/read.ts";
import { columns, comparison } from "../table.ts";

/** Shows a run folder by its `config.yaml`, anything else as a policy file. */
export async function inspect(path: string, flags: { json?: boolean }): Promise<number> {
  const isRun = existsSync(path) && statSync(path).isDirectory() && existsSync(runFiles(path).config);
  if (isRun) inspectRun(path, flags.json === true);
  else await inspectPolicy(path, flags.json === true);
  return 0;
}

function inspectRun(path: string, json: boolean): void {
  const files = runFiles(path);
  if (existsSync(files.result)) {
    const result = readResult(files.result);
    process.stdout.write(json ? `${JSON.stringify(result)}\n` : `${comparison(result)}\n`);
    return;
  }
  const events = existsSync(files.events) ? readEvents(files.events) : [];
  const last = events.at(-1);
  const status = { path, finished: false, events: events.length, step: last?.step ?? 0, last: last?.type ?? null };
  process.stdout.write(
    json
      ? `${JSON.stringify(status)}\n`
      : `${path}: not finished, ${status.events} events, ${status.step} updates, last ${status.last ?? "none"}\n`,
  );
}

async function inspectPolicy(path: string, json: boolean): Promise<void> {
  const { architecture, parameters, environment, score, provenance } = await loadPolicy(path);
  const counts = { ...countsOf(architecture), nonZero: countNonZero(architecture, parameters) };
  if (json) {
    process.stdout.write(`${JSON.stringify({ architecture, environment, ...counts, score, provenance })}\n`);
    return;
  }
  const rows = layoutOf(architecture).map(({ name, inputs, outputs, activation, weights }) => {
    const values = parameters.subarray(weights.offset, weights.offset + weights.length);
    const nonZero = values.reduce((total, w) => total + (w === 0 ? 0 : 1), 0);
    return [name, `${inputs} x ${outputs}`, activation, String(weights.length), String(nonZero), String(outputs)];
  });
  const table = columns([["layer", "shape", "activation", "weights", "non-zero", "biases"], ...rows]);
  process.stdout.write(
    [
      `${describe(architecture)}  ${architecture.head}  ${environment ?? "no environment"}`,
      ...table.map((line) => `  ${line}`),
      `  ${counts.weights} weights (${counts.nonZero} non-zero), ${counts.biases} biases, ${counts.bytes} bytes, ${counts.macs} multiply-adds`,
      ...(score ? [`  score ${score.mean.toFixed(2)} over ${score.episodes} held-out episodes, 95 % lower bound ${score.lower95.toFixed(2)}`] : []),
      ...Object.entries(provenance).map(([key, value]) => `  ${key}: ${value}`),
      "",
    ].join("\n"),
  );
}
