/** Environments of the user's own: modules in JavaScript or TypeScript whose default export makes one. */
import { register as registerHooks } from "node:module";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { EnvironmentError, reasonOf } from "../errors.ts";
import type { Environment } from "./environment.ts";
import { type Registration, register } from "./registry.ts";
import { placeOf } from "./vector.ts";

const fromSource = import.meta.url.endsWith(".ts");
const INDEX = new URL(fromSource ? "../index.ts" : "../index.js", import.meta.url).href;

/**
 * Resolves the name of this package to this very copy of it, wherever the user's module lies and whether or not the package is
 * installed there. TypeScript is made of ES modules here whatever the `type` of the package around it: as CommonJS it could not
 * import this package.
 */
const HOOK = `export async function resolve(specifier, context, next) {
  if (specifier === "pops-rl") return { url: ${JSON.stringify(INDEX)}, format: "module", shortCircuit: true };
  const found = await next(specifier, context);
  return found.url.split("?")[0].endsWith(".ts") ? { ...found, format: "module" } : found;
}`;

let hooked = false;
let compiling = fromSource;

/** Hooks hold for the thread that sets them. */
async function prepare(url: string): Promise<void> {
  if (!compiling && /\.m?ts$/.test(url)) {
    compiling = true;
    const { register: compile } = await import("tsx/esm/api");
    compile();
  }
  if (hooked) return;
  hooked = true;
  registerHooks(`data:text/javascript,${encodeURIComponent(HOOK)}`);
}

/** What a module has to have. */
export const EXPORT = "export default class MyEnv implements Environment { ... }, as pops new environment writes it";

const moduleSchema = z.object({
  default: z
    .custom<() => unknown>((value) => typeof value === "function", `has to be a class or a function: ${EXPORT}`)
    .optional(),
  slow: z.boolean("has to be true or false").default(false),
});

/** Whether the name of an environment is that of a module. */
export function isModule(environment: string): boolean {
  return /\.m?[jt]s$/.test(environment);
}

/**
 * Runs a module and gives what makes its environments: the default export, a class without arguments of its constructor or a
 * function. The export `slow` is that of `Registration`. Without a default export nothing is given.
 * @param name stands in messages
 * @throws EnvironmentError when the module fails, or exports something else
 */
export async function importEnvironment(
  url: string,
  name = url,
): Promise<Pick<Registration, "create" | "slow"> | undefined> {
  let exported: unknown;
  try {
    await prepare(url);
    exported = await import(url);
  } catch (error) {
    throw new EnvironmentError(name, `cannot be loaded: ${reasonOf(error)}${placeOf(error)}`, { cause: error });
  }
  const parsed = moduleSchema.safeParse(exported);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new EnvironmentError(name, `its export ${issue?.path.join(".") ?? ""} ${issue?.message ?? ""}`);
  }
  const { default: make, slow } = parsed.data;
  if (make === undefined) return undefined;
  // `new` of an ordinary function gives what the function returns; an arrow function can only be called.
  const create = (): unknown => (Object.hasOwn(make, "prototype") ? Reflect.construct(make, []) : make());
  // What it makes is up to `checkEnvironment`.
  return { create: create as () => Environment, slow };
}

/**
 * Makes the environments of modules known in this thread: their default exports; what they `register` themselves is known
 * by that.
 * @throws EnvironmentError when a module fails
 */
export async function importModules(urls: readonly string[]): Promise<void> {
  for (const url of urls) {
    const made = await importEnvironment(url, url.startsWith("file:") ? fileURLToPath(url) : url);
    if (made) register({ ...made, spec: made.create().spec });
  }
}
