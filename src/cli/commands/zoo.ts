import { existsSync } from "node:fs";
import { UsageError } from "../../errors.ts";
import { writeAtomically } from "../../files.ts";
import { integer } from "../../report/format.ts";
import { SELF } from "../session.ts";
import { columns } from "../table.ts";
import { shellWord } from "../terminal.ts";
import { readZoo, readZooFile, type ZooEntry, zooEntry } from "../zoo.ts";

/** Lists the policies that come with the package. */
export function listZoo(flags: { json?: boolean }): void {
  const zoo = readZoo();
  if (flags.json) {
    process.stdout.write(`${JSON.stringify(zoo)}\n`);
    return;
  }
  const rows = zoo.map((entry) => {
    const { name, layers, weights, bytes, acting, score, seed } = entry;
    const { mean, lower95, episodes } = score;
    const numbers = [weights, bytes].map(integer);
    return [name, layers, ...numbers, mean.toFixed(1), lower95.toFixed(1), String(episodes), acting, String(seed)];
  });
  const titles = [
    "name",
    "layers",
    "weights",
    "bytes",
    "mean score",
    "95 % lower bound",
    "episodes",
    "actions",
    "seed",
  ];
  process.stdout.write(`${columns([titles, ...rows]).join("\n")}\n`);
}

/** Writes a policy of the zoo into a file of its own, once its hash is right. */
export function getFromZoo(name: string, flags: { output?: string }): void {
  const entry: ZooEntry = zooEntry(name);
  const output = flags.output ?? `${entry.name}.safetensors`;
  if (existsSync(output)) {
    throw new UsageError("--output", `${output} is there already, and is left as it is: name another file`);
  }
  const bytes = readZooFile(entry);
  writeAtomically(output, bytes);
  process.stdout.write(
    `${output}: ${bytes.length} bytes, SHA-256 ${entry.sha256}\n` +
      `Made by:      ${entry.command}\n` +
      `Play it with: ${SELF} evaluate ${shellWord(output)}${entry.acting === "sampled" ? " --sampled" : ""}\n`,
  );
}
