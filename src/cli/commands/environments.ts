import { specOf } from "../../environment/registry.ts";
import { listEnvironments, resolveConfig, settingKeys } from "../config.ts";
import { type EnvironmentFlags, knownEnvironment } from "../environment.ts";
import { environmentTable } from "../table.ts";

export function showEnvironments(flags: { json?: boolean }): void {
  const rows = listEnvironments().map(({ id, presets }) => ({ ...specOf(id), presets }));
  if (flags.json) {
    process.stdout.write(`${JSON.stringify(rows)}\n`);
    return;
  }
  process.stdout.write(`${environmentTable(rows).join("\n")}\n`);
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
