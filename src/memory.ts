import { totalmem } from "node:os";
import { constrainedMemory } from "node:process";
import { UsageError } from "./errors.ts";

/**
 * Makes what takes so many bytes.
 *
 * @param field the option that says how much it is
 * @param what it is, in the plural
 * @throws UsageError when this machine, or what confines this process, has less memory, or an array cannot be so long
 */
export function allocate<Value>(field: string, bytes: number, what: string, make: () => Value): Value {
  const refuse = (limit: string, cause?: unknown): never => {
    const advice = "set it lower, or let the environment show less at once";
    throw new UsageError(field, `${what} take ${gigabytes(bytes)}, ${limit}: ${advice}`, { cause });
  };
  // 0 where nothing confines it.
  const memory = Math.min(totalmem(), constrainedMemory() || Number.POSITIVE_INFINITY);
  if (bytes > memory) refuse(`this machine has ${gigabytes(memory)}`);
  try {
    return make();
  } catch (error) {
    if (error instanceof RangeError) return refuse("which is more than one array holds", error);
    throw error;
  }
}

const gigabytes = (bytes: number): string => `${Number((bytes / 1e9).toPrecision(3))} GB`;
