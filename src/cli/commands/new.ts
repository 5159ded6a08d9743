import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { UsageError } from "../../errors.ts";
import { readBounded, writeAtomically } from "../../files.ts";
import { SELF } from "../session.ts";

const TEMPLATE = fileURLToPath(new URL("../../../templates/my-env.ts", import.meta.url));
const MAX_TEMPLATE_BYTES = 100_000;

/** Writes an environment that works as it is into the working folder. */
export function newEnvironment(name: string): void {
  const stem = name.replace(/\.ts$/, "");
  if (!/^[a-z][\w-]{0,50}$/i.test(stem)) {
    throw new UsageError("name", `"${name}" is no name for a file and a class: use letters, digits, - and _`);
  }
  const path = `./${stem}.ts`;
  if (existsSync(path))
    throw new UsageError("name", `${path} is there already, and is left as it is: pass another name`);
  const template = Buffer.from(readBounded(TEMPLATE, MAX_TEMPLATE_BYTES)).toString();
  const title = stem.replace(/(?:^|[-_]+)(\w?)/g, (_, first: string) => first.toUpperCase());
  // `class Step` would hide what the template imports.
  const taken = title !== "MyEnv" && new RegExp(`\\b${title}\\b`).test(template);
  writeAtomically(path, Buffer.from(template.replaceAll("MyEnv", taken ? `${title}Env` : title)));
  process.stdout.write(
    `${path} is an environment that works as it is.\n\n` +
      `Check it with:     ${SELF} inspect ${path}\nCompress a policy: ${SELF} run ${path}\n`,
  );
}
