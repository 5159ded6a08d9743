import { Console } from "node:console";
import { isStray, strayReasonOf } from "../environment/vector.ts";
import { EnvironmentError, reasonOf } from "../errors.ts";

/** The module of the user's own that runs here, if one does. */
let own: string | undefined;

/** Ends this process, which modules cannot. */
export const exit = process.exit.bind(process);

/** What a module prints is news for people: standard output is the command's. That it may end is the command's too. */
export function admit(path: string): void {
  own = path;
  globalThis.console = new Console(process.stderr);
  const refused = (code?: number | string | null): never => {
    const error = new Error(`called process.exit(${code ?? ""})`);
    Error.captureStackTrace(error, refused);
    throw error;
  };
  process.exit = refused;
}

let stopRun: (() => void) | undefined;

/** While a run stops by this at its next safe point, nothing else ends the program at once; `undefined` when it is over. */
export function stopsBy(stop: typeof stopRun): void {
  stopRun = stop;
}

/** Lets the run stop, if there is one; else ends the program. */
export function stopOrExit(exitCode: number): void {
  // Threads that are ended within a native call take the process with them, so the run ends its own first.
  if (stopRun) stopRun();
  else exit(exitCode);
}

/** Ends a command with this code: at once where a module could keep the process alive by a timer or a socket. */
export function end(exitCode: number): void {
  process.exitCode = exitCode;
  // Where pipes are written to later, only then.
  if (own !== undefined) process.stdout.write("", () => process.stderr.write("", () => exit(exitCode)));
}

/** What Node ends with when nothing is left to do and the program still waits: for a module's own `await`, most likely. */
export const UNSETTLED = 13;

/** That, as the error that users see. */
export function unsettled(): Error {
  if (own === undefined) return new Error("nothing was left to do, and something was still waited for");
  return new EnvironmentError(own, "waits for something that never happens: an await of the module does not end");
}

/** What was thrown with nobody to catch it, in a timer or an unawaited promise, as the error that users see. */
export function strayOf(thrown: unknown): Error {
  const error = thrown instanceof Error ? thrown : new Error(reasonOf(thrown), { cause: thrown });
  if (own === undefined || !isStray(thrown)) return error;
  const what = "threw outside of its methods, in a timer or a promise that nobody awaits";
  return new EnvironmentError(own, `${what}: ${strayReasonOf(thrown)}`, { cause: thrown });
}
