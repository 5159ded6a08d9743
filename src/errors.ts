/** Everything that PoPS refuses, typed. The command line prints `message` without a stack trace and exits with `exitCode`. */
export abstract class PopsError extends Error {
  /** Process exit code that the command line uses for this kind of error (docs/files.md lists them). */
  abstract readonly exitCode: number;
  override get name(): string {
    return this.constructor.name;
  }
}

/** A command-line option, configuration key or argument is wrong. `field` names it. */
export class UsageError extends PopsError {
  readonly exitCode = 2;
  readonly field: string;
  constructor(field: string, message: string, options?: ErrorOptions) {
    super(`${field}: ${message}`, options);
    this.field = field;
  }
}

/** A file is missing, malformed, hostile or cannot be written. `path` names it; `message` says where and what was expected. */
export class FileError extends PopsError {
  readonly exitCode = 3;
  readonly path: string;
  constructor(path: string, message: string, options?: ErrorOptions) {
    super(`${path}: ${message}`, options);
    this.path = path;
  }
}

/** An environment broke its contract or was given an action that it does not have. */
export class EnvironmentError extends PopsError {
  readonly exitCode = 4;
  readonly environment: string;
  constructor(environment: string, message: string, options?: ErrorOptions) {
    super(`${environment}: ${message}`, options);
    this.environment = environment;
  }
}

/** The teacher does not reach the objective, so there is nothing to compress. */
export class ObjectiveError extends PopsError {
  readonly exitCode = 5;
}

/** Another process holds the run directory. */
export class LockedError extends PopsError {
  readonly exitCode = 6;
  readonly path: string;
  constructor(path: string, message: string) {
    super(`${path}: ${message}`);
    this.path = path;
  }
}

/** Shapes, dtypes or numbers do not fit together; `operation` names the function that refused them. */
export class ShapeError extends PopsError {
  readonly exitCode = 7;
  readonly operation: string;
  constructor(operation: string, message: string) {
    super(`${operation}: ${message}`);
    this.operation = operation;
  }
}

/** A computation produced NaN or infinity. */
export class NumericError extends PopsError {
  readonly exitCode = 8;
}

/** An export is not what its policy is. */
export class VerificationError extends PopsError {
  readonly exitCode = 9;
}

/** What a `catch` holds, as a sentence. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
