import { readFileSync } from "node:fs";
import { z } from "zod";

function packageField(url: URL, field: "version"): string {
  return z.object({ [field]: z.string() }).parse(JSON.parse(readFileSync(url, "utf8")))[field] ?? "";
}

/** Version of this package. */
export const VERSION = packageField(new URL("../../package.json", import.meta.url), "version");

/** What a result depends on beside its configuration. */
export function versions(): Record<string, string> {
  return {
    "pops-rl": VERSION,
    node: process.versions.node,
    v8: process.versions.v8,
    platform: `${process.platform}-${process.arch}`,
  };
}
