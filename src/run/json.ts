import type { z } from "zod";
import { FileError, reasonOf } from "../errors.ts";

/** JSON text of a file, or of the part of it that `where` names, checked. Throws a FileError that says what is wrong. */
export function parseJson<Value>(text: string, schema: z.ZodType<Value>, path: string, where: string): Value {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new FileError(path, `${where} is not JSON: ${reasonOf(error)}`, { cause: error });
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success)
    throw new FileError(path, `${where} is malformed: ${firstIssue(parsed.error)}`, { cause: parsed.error });
  return parsed.data;
}

/** The first thing that a schema refused, as a clause: `score.mean: Invalid input: expected number, received NaN`. */
export function firstIssue(error: z.ZodError): string {
  const [issue] = error.issues;
  if (issue === undefined) return error.message;
  return issue.path.length === 0 ? issue.message : `${issue.path.join(".")}: ${issue.message}`;
}
