import { specOf } from "../../environment/registry.ts";
import { listEnvironments, resolveConfig, settingKeys } from "../config.ts";
import { columns } from "../table.ts";

export function showEnvironments(flags: { json?: boolean }): void {
  const rows = listEnvironments().map(({ id, presets }) => ({ ...specOf(id), presets }));
  if (flags.json) {
    process.stdout.write(`${JSON.stringify(rows)}\n`);
    return;
  }
  const cells = rows.map(({ id, observationSpace, actionSpace, maxEpisodeSteps, rewardThreshold, presets }) => [
    id,
    `[${observationSpace.shape.join(", ")}]`,
    actionSpace.kind === "discrete" ? `${actionSpace.n} choices` : `[${actionSpace.shape.join(", ")}]`,
    String(maxEpisodeSteps ?? "none"),
    String(rewardThreshold ?? "none"),
    presets.join(", "),
  ]);
  const lines = columns([["environment", "observation", "action", "step limit", "solved at", "presets"], ...cells]);
  process.stdout.write(`${lines.join("\n")}\n`);
}

/** Lists every `--set` key with its effective value and meaning. */
export function showSettings(environment: string, flags: { preset: string }): void {
  const config = resolveConfig({ environment, command: "run", preset: flags.preset });
  const valueAt = (key: string): unknown =>
    key.split(".").reduce<unknown>((inner, part) => (inner as Record<string, unknown>)[part], config);
  for (const [key, description] of settingKeys(config.teacher.algorithm)) {
    process.stdout.write(`${key} = ${JSON.stringify(valueAt(key))}  # ${description}\n`);
  }
}
