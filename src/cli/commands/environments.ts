import type { Space } from "../../environment/environment.ts";
import { specOf } from "../../environment/registry.ts";
import { listEnvironments, resolveConfig, settingKeys } from "../config.ts";
import { type EnvironmentFlags, knownEnvironment } from "../environment.ts";
import { environmentTable } from "../table.ts";

/** What Python has, beside our own. */
const IN_PYTHON = [
  ["gymnasium:<id>", "any environment of Python's Gymnasium"],
  ["ale:<game>", "a game of the Arcade Learning Environment, preprocessed: ale:Pong, ale:MsPacman"],
];

/** One bound for all pixels of a picture. */
function short(space: Space): object {
  if (space.kind === "discrete" || space.shape.length === 1) return space;
  const [low, high] = [new Set(space.low), new Set(space.high)];
  return low.size === 1 && high.size === 1 ? { ...space, low: space.low[0], high: space.high[0] } : space;
}

export function showEnvironments(flags: { json?: boolean }): void {
  const rows = listEnvironments().map(({ id, presets }) => ({ ...specOf(id), presets }));
  if (flags.json) {
    const shortened = rows.map((row) => ({ ...row, observationSpace: short(row.observationSpace) }));
    process.stdout.write(`${JSON.stringify(shortened)}\n`);
    return;
  }
  const inPython = IN_PYTHON.map(([id, meaning]) => `${id?.padEnd(15)}  ${meaning}`);
  process.stdout.write(`${[...environmentTable(rows), "", ...inPython].join("\n")}\n`);
}

/** Lists every `--set` key with its effective value and meaning. */
export async function showSettings(environment: string, flags: EnvironmentFlags & { preset: string }): Promise<void> {
  const known = await knownEnvironment(environment, flags);
  const config = resolveConfig({ ...known, command: "run", preset: flags.preset });
  const valueAt = (key: string): unknown =>
    key.split(".").reduce<unknown>((inner, part) => (inner as Record<string, unknown>)[part], config);
  for (const [key, description] of settingKeys(config.teacher.algorithm)) {
    process.stdout.write(`${key} = ${JSON.stringify(valueAt(key))}  # ${description}\n`);
  }
}
