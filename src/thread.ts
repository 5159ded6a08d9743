import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { Worker, type WorkerOptions } from "node:worker_threads";

const fromSource = import.meta.url.endsWith(".ts");

/** In a thread that runs an environment: what that prints is news for people, standard output is the program's. */
export function printOnStderr(): void {
  process.stdout.write = process.stderr.write.bind(process.stderr);
}

/**
 * Starts a thread whose program is a module of this package, named by the URL of its TypeScript source: from that source
 * (through tsx) or from its compiled JavaScript, whichever this file is.
 */
export function startThread(
  program: URL,
  options: Pick<WorkerOptions, "workerData" | "transferList" | "stdout" | "stderr">,
): Worker {
  if (!fromSource) return new Worker(new URL(program.href.replace(/\.ts$/, ".js")), options);
  const tsx = dirname(createRequire(import.meta.url).resolve("tsx/package.json"));
  const loader = pathToFileURL(join(tsx, "dist/esm/api/index.mjs")).href;
  const source = `import(${JSON.stringify(loader)}).then(({ register }) => { register(); return import(${JSON.stringify(program.href)}); })`;
  return new Worker(source, { ...options, eval: true });
}
