import { fileURLToPath } from "node:url";
import { z } from "zod";
import { nearest } from "../environment/nearest.ts";
import { FileError, UsageError } from "../errors.ts";
import { readBounded } from "../files.ts";
import { ACTING } from "../network/action.ts";
import { scoreSchema } from "../network/policy.ts";
import { parseJson } from "../run/json.ts";
import { sha256 } from "../seal.ts";

const MAX_INDEX_BYTES = 1_000_000;

/** The folder of policies that come with the package. */
export const ZOO = new URL("../../zoo/", import.meta.url);

const count = z.number().int().min(0);

/** `int8` is a compact policy that was chosen and proven as C in whole numbers of 8 bits. */
export const ZOO_ROLES = ["teacher", "policy", "int8"] as const;

const entrySchema = z.strictObject({
  /** Of the policy; its file is called so as well. */
  name: z.string().regex(/^[\w.-]{1,200}$/),
  environment: z.string(),
  role: z.enum(ZOO_ROLES),
  /** `4-256-256-128-2`, the input first. */
  layers: z.string(),
  weights: count,
  /** Length of the file. */
  bytes: count,
  /** Of the file, hexadecimal. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  /** What made it, with its teacher or its compact policy. */
  command: z.string(),
  /** Of that command. */
  seed: count,
  /** How it acts. */
  acting: z.enum(ACTING).default("greedy"),
  /** What `pops evaluate` measures on the file, acting so, with so many episodes and its default seed. */
  score: scoreSchema,
});

/** A policy of the zoo. */
export type ZooEntry = z.infer<typeof entrySchema>;

/** `index.json` of the zoo. */
export const zooSchema = z.strictObject({ version: z.literal(1), policies: z.array(entrySchema) });

/**
 * What is in the zoo.
 * @throws FileError when its index is missing or malformed
 */
export function readZoo(): readonly ZooEntry[] {
  const path = fileURLToPath(new URL("index.json", ZOO));
  const text = Buffer.from(readBounded(path, MAX_INDEX_BYTES)).toString();
  return parseJson(text, zooSchema, path, "the index of the zoo").policies;
}

/** @throws UsageError when there is no policy of that name; names the nearest one */
export function zooEntry(name: string): ZooEntry {
  const zoo = readZoo();
  const found = zoo.find((entry) => entry.name === name);
  if (found) return found;
  const meant = nearest(
    name,
    zoo.map((entry) => entry.name),
  );
  const hint = meant === undefined ? "see pops zoo list" : `did you mean "${meant}"?`;
  throw new UsageError("name", `there is no policy "${name}" in the zoo; ${hint}`);
}

/** What the policy of an environment is called: `ale:Pong` is no name of a file. */
export function zooName(environment: string, role: ZooEntry["role"]): string {
  return `${environment.replace(":", "-")}-${role}`;
}

/** Where the policy's file is. */
export function zooPath({ name }: Pick<ZooEntry, "name">): string {
  return fileURLToPath(new URL(`${name}.safetensors`, ZOO));
}

/**
 * The file of a policy.
 * @throws FileError when it is missing, or not the one that the index lists
 */
export function readZooFile(entry: ZooEntry): Uint8Array {
  const path = zooPath(entry);
  const bytes = readBounded(path, entry.bytes);
  const actual = sha256(bytes);
  if (actual === entry.sha256) return bytes;
  throw new FileError(
    path,
    `has the SHA-256 ${actual}, the index of the zoo says ${entry.sha256}: install pops-rl anew`,
  );
}
