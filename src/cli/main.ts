#!/usr/bin/env node
import { availableParallelism } from "node:os";
import { Command, CommanderError, InvalidArgumentError } from "commander";
import pc from "picocolors";
import { PopsError, reasonOf } from "../errors.ts";
import { showEnvironments, showSettings } from "./commands/environments.ts";
import { evaluatePolicy } from "./commands/evaluate.ts";
import { exportPolicy } from "./commands/export.ts";
import { importTfCheckpoint } from "./commands/import.ts";
import { inspect } from "./commands/inspect.ts";
import { type RunFlags, compress, run, train } from "./commands/run.ts";
import { VERSION } from "./version.ts";

/** Parser of a whole number of at least `least`. */
function integer(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isSafeInteger(value) || value < least) throw new InvalidArgumentError(`expected a whole number from ${least}`);
    return value;
  };
}

const collect = (value: string, before: readonly string[]): string[] => [...before, value];
const list = (text: string): string[] => text.split(",");

function runOptions(command: Command): Command {
  return command
    .option("--preset <name>", "settings to start from (see: pops environments)", "default")
    .option("--set <key=value>", "change one setting, several times if wanted (see: pops settings)", collect, [])
    .option("--seed <n>", "seed of every random stream", integer(0), 1)
    .option("--out <folder>", "run folder (default: the first free runs/<environment>-<n>)")
    .option("--resume", "go on with the run in --out")
    .option("--workers <n>", "worker threads; their number never changes a result", integer(1), availableParallelism())
    .option("--json", "print the result as JSON, progress to standard error");
}

/** Exit code that an action asks for. */
let exitCode = 0;
async function exitWith(work: Promise<number>): Promise<void> {
  exitCode = await work;
}

const program = new Command("pops")
  .description("Policy Pruning and Shrinking: make a trained policy as small as its task allows, and prove that it still works.")
  .version(VERSION)
  .exitOverride()
  .configureOutput({ writeErr: (text) => process.stderr.write(text) });

runOptions(program.command("run").description("train a teacher, compress it, prove it, export it").argument("[environment]", "id, for example CartPole-v1")).action(
  (environment: string | undefined, flags: RunFlags) => exitWith(run(environment, flags)),
);
runOptions(program.command("train").description("train a teacher only").argument("[environment]", "id, for example CartPole-v1")).action(
  (environment: string | undefined, flags: RunFlags) => exitWith(train(environment, flags)),
);
runOptions(program.command("compress").description("compress a policy that is there"))
  .option("--teacher <file>", "policy to compress (.safetensors or .onnx of PoPS)")
  .option("--env <id>", "environment, if the file names none or another is meant")
  .action((flags: RunFlags) => exitWith(compress(flags)));

program
  .command("evaluate")
  .description("play a policy greedily and report its score with confidence bounds")
  .argument("<file>", "policy file")
  .option("--env <id>", "environment, if the file names none or another is meant")
  .option("--episodes <n>", "episodes", integer(2), 100)
  .option("--seed <n>", "seed of the episodes", integer(0), 1)
  .option("--json", "print JSON")
  .action((file: string, flags: { env?: string; episodes: number; seed: number; json?: boolean }) => exitWith(evaluatePolicy(file, flags)));

program
  .command("inspect")
  .description("show what a policy file or a run folder holds")
  .argument("<path>", "policy file or run folder")
  .option("--json", "print JSON")
  .action((path: string, flags: { json?: boolean }) => exitWith(inspect(path, flags)));

program
  .command("export")
  .description("write a policy in another format")
  .argument("<format>", "onnx or safetensors")
  .argument("<file>", "policy file")
  .requiredOption("--output <file>", "file to write")
  .action((format: string, file: string, flags: { output: string }) => exitWith(exportPolicy(format, file, flags)));

program
  .command("import")
  .description("make a policy file from a foreign one")
  .command("tf-checkpoint")
  .description("TensorFlow 1 checkpoint (index + data) of dense layers")
  .argument("<prefix>", "path without .index")
  .requiredOption("--output <file>", "file to write (.safetensors or .onnx)")
  .option("--layers <names>", "layer names from the input on, by commas (default: guessed)", list)
  .option("--activations <names>", "relu, tanh or none for each layer, by commas (default: relu, none at the output)", list)
  .option("--head <kind>", "what the outputs mean: q-values or logits", "q-values")
  .option("--env <id>", "environment of the policy")
  .action((prefix: string, flags: Parameters<typeof importTfCheckpoint>[1]) => exitWith(importTfCheckpoint(prefix, flags)));

program
  .command("environments")
  .description("list environments and their presets")
  .option("--json", "print JSON")
  .action((flags: { json?: boolean }) => {
    showEnvironments(flags);
  });

program
  .command("settings")
  .description("list every setting with its value for an environment")
  .argument("[environment]", "id", "CartPole-v1")
  .option("--preset <name>", "preset", "default")
  .action((environment: string, flags: { preset: string }) => {
    showSettings(environment, flags);
  });

/** Exit code of a wrong command line; commander prints its own message. */
const USAGE = 2;

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    exitCode = error.exitCode === 0 ? 0 : USAGE;
  } else if (error instanceof PopsError) {
    process.stderr.write(`${pc.red("pops:")} ${error.message}\n`);
    exitCode = error.exitCode;
  } else {
    process.stderr.write(`${pc.red("pops: unexpected failure, please report it:")} ${error instanceof Error ? (error.stack ?? "") : reasonOf(error)}\n`);
    exitCode = 1;
  }
}
process.exitCode = exitCode;
