#!/usr/bin/env node
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { Command, CommanderError, InvalidArgumentError } from "commander";
import { PopsError, reasonOf, UsageError } from "../errors.ts";
import { VERSION } from "../exporting/version.ts";
import { showEnvironments, showSettings } from "./commands/environments.ts";
import { evaluatePolicy } from "./commands/evaluate.ts";
import { exportPolicy } from "./commands/export.ts";
import { type ImportFlags, importFile, importTfCheckpoint } from "./commands/import.ts";
import { inspect } from "./commands/inspect.ts";
import { compress, type RunFlags, run, train } from "./commands/run.ts";
import { coloursOf, printable } from "./terminal.ts";

/** Exit codes that no PopsError has: an unforeseen error, a wrong command line, a reader of the output that went away. */
const FAILED = 1;
const USAGE = 2;
const BROKEN_PIPE = 141;

/** Parser of a whole number of at least `least`. */
function integer(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === "" || !Number.isSafeInteger(value) || value < least)
      throw new InvalidArgumentError(`Expected a whole number from ${least}.`);
    return value;
  };
}

function seconds(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !(value >= 0)) throw new InvalidArgumentError("Expected a number of seconds from 0.");
  return value;
}

/** Longer waits are more than a timer can have. */
function patience(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 1e6))
    throw new InvalidArgumentError("Expected a number of seconds above 0, up to 1000000.");
  return value;
}

const collect = (value: string, before: readonly string[] = []): string[] => [...before, value];
const list = (text: string): string[] => text.split(",");

/** How an environment of Python's Gymnasium is made. */
function environmentOptions(command: Command): Command {
  return command
    .option("--env-module <name>", "Python module that registers a gymnasium: environment")
    .option("--env-kwargs <json>", "keyword arguments of gymnasium.make, or options of an ale: game, as a JSON object")
    .option(
      "--env-wrapper <name=json>",
      "wrapper of gymnasium.wrappers with its arguments, from the inside out",
      collect,
    )
    .option("--env-timeout <seconds>", "time to an answer of a gymnasium: or ale: environment (default: 60)", patience);
}

/** The preset, seed and settings have no defaults here: a resumed run has to know whether they were given. */
function runOptions(command: Command): Command {
  return environmentOptions(command)
    .option("--preset <name>", 'settings to start from; "pops environments" lists them (default: default)')
    .option("--quick", "less training, fewer tries, fewer episodes of proof: an answer sooner, possibly a larger one")
    .option("--set <key=value>", 'change one setting, several times if wanted; "pops settings" lists them', collect)
    .option("--seed <n>", "seed of every random stream (default: 1)", integer(0))
    .option("--out <folder>", "run folder (default: the first free runs/<environment>-<n>)")
    .option("--resume", "go on with the run in --out")
    .option("--workers <n>", "worker threads; their number never changes a result", integer(1), availableParallelism())
    .option("--checkpoint-every <seconds>", "time between checkpoints; it never changes a result", seconds, 10)
    .option("--json", "print the result as JSON, progress to standard error");
}

/** Exit code that an action asks for. */
let exitCode = 0;
async function exitWith(work: Promise<number>): Promise<void> {
  exitCode = await work;
}

const program = new Command("pops")
  .description(
    "Policy Pruning and Shrinking: make a trained policy as small as its task allows, and prove that it still works.",
  )
  .version(VERSION)
  .option(
    "--import <module>",
    "JavaScript module that registers your own environments, several times if wanted",
    collect,
  )
  .exitOverride()
  .configureOutput({
    outputError: (text, write) => {
      write(`${problem()} ${printable(text.replace(/^error: /, "").trim())}\n`);
    },
  });

/** URLs of the modules of `--import`. */
function modules(): string[] {
  const { import: paths = [] } = program.opts<{ import?: string[] }>();
  return paths.map((path) => pathToFileURL(resolve(path)).href);
}

program.hook("preAction", async () => {
  for (const url of modules()) {
    try {
      await import(url);
    } catch (error) {
      throw new UsageError("--import", `${url} failed: ${reasonOf(error)}`, { cause: error });
    }
  }
});

const environmentOption = ["--env <id>", "environment, if the file names none or another is meant"] as const;
const statisticsOption = [
  "--vec-normalize <file>",
  "statistics of observations that VecNormalize.save() of Stable-Baselines3 wrote",
] as const;
const headOption = [
  "--head <kind>",
  "what the outputs mean: q-values, logits or gaussian (default: as the file or the environment says, or q-values)",
] as const;
const environmentArgument = [
  "[environment]",
  "id, for example CartPole-v1, gymnasium:CartPole-v1 or ale:Pong",
] as const;

runOptions(program.command("run").description("train a teacher, compress it, prove it, export it"))
  .argument(...environmentArgument)
  .action((environment: string | undefined, flags: RunFlags) => exitWith(run(environment, flags, modules())));
runOptions(program.command("train").description("train a teacher only"))
  .argument(...environmentArgument)
  .action((environment: string | undefined, flags: RunFlags) => exitWith(train(environment, flags, modules())));
runOptions(program.command("compress").description("compress a policy that is there"))
  .option("--teacher <file>", "policy to compress: of PoPS, Stable-Baselines3 (.zip), PyTorch, safetensors or ONNX")
  .option(...environmentOption)
  .option(...statisticsOption)
  .action((flags: RunFlags) => exitWith(compress(flags, modules())));

environmentOptions(program.command("evaluate"))
  .description("play a policy and report its score with confidence bounds")
  .argument("<file>", "policy file")
  .option(...environmentOption)
  .option(...statisticsOption)
  .option("--episodes <n>", "episodes", integer(2), 100)
  .option("--seed <n>", "seed of the episodes", integer(0), 1)
  .option("--workers <n>", "worker threads; their number never changes a result", integer(1), availableParallelism())
  .option("--sampled", "draw actions from the policy's distribution instead of its best ones")
  .option("--json", "print JSON")
  .action((file: string, flags: Parameters<typeof evaluatePolicy>[1]) => evaluatePolicy(file, flags, modules()));

program
  .command("inspect")
  .description("show what a policy file or a run folder holds")
  .argument("<path>", "policy file or run folder")
  .option("--json", "print JSON")
  .action((path: string, flags: Parameters<typeof inspect>[1]) => inspect(path, flags));

program
  .command("export")
  .description("write a policy in another format")
  .argument("<format>", "onnx, safetensors, or sb3: a model.zip for Stable-Baselines3")
  .argument("<file>", "policy file")
  .requiredOption("--output <file>", "file to write")
  .action((format: string, file: string, flags: { output: string }) => exportPolicy(format, file, flags));

const importing = program.command("import").description("make a policy file from a foreign one");

/** Options of every import. */
function importCommand(kind: string, argument: readonly [string, string], description: string): Command {
  return importing
    .command(kind)
    .description(description)
    .argument(...argument)
    .requiredOption("--output <file>", "file to write (.safetensors or .onnx)")
    .option(...environmentOption);
}

/** What a file of weights alone leaves open. */
function layerOptions(command: Command): Command {
  return command
    .option("--layers <names>", "layer names from the input on, by commas (default: recognised or guessed)", list)
    .option(
      "--activations <names>",
      "relu, tanh or none for each layer, by commas (default: recognised, or relu and none at the output)",
      list,
    )
    .option(...headOption)
    .option("--squash", "a tanh brings the outputs onto the range of continuous actions (default: they are limited)");
}

layerOptions(
  importCommand(
    "tf-checkpoint",
    ["<prefix>", "path without .index"],
    "TensorFlow 1 checkpoint (index + data) of dense layers",
  ),
).action((prefix: string, flags: ImportFlags) => importTfCheckpoint(prefix, flags));
const policyFile = ["<file>", "file to read; nothing in it is executed"] as const;
importCommand("sb3", policyFile, "Stable-Baselines3's model.zip: MlpPolicy of DQN, PPO, A2C, SAC, TD3 or DDPG")
  .option(...statisticsOption)
  .action((file: string, flags: ImportFlags) => importFile("sb3", file, flags));
layerOptions(importCommand("torch", policyFile, "PyTorch state dict of dense layers (.pt, .pth)"))
  .option(...statisticsOption)
  .action((file: string, flags: ImportFlags) => importFile("torch", file, flags));
layerOptions(importCommand("safetensors", policyFile, "safetensors file of dense layers, as PyTorch names them"))
  .option(...statisticsOption)
  .action((file: string, flags: ImportFlags) => importFile("safetensors", file, flags));
importCommand("onnx", policyFile, "ONNX model that is a sequence of dense layers")
  .option(...headOption)
  .option(...statisticsOption)
  .action((file: string, flags: ImportFlags) => importFile("onnx", file, flags));

program
  .command("environments")
  .description("list environments and their presets")
  .option("--json", "print JSON")
  .action((flags: Parameters<typeof showEnvironments>[0]) => {
    showEnvironments(flags);
  });

environmentOptions(program.command("settings"))
  .description("list every setting with its value for an environment")
  .argument("[environment]", "id", "CartPole-v1")
  .option("--preset <name>", "preset", "default")
  .action((environment: string, flags: Parameters<typeof showSettings>[1]) => showSettings(environment, flags));

function problem(): string {
  return coloursOf(process.stderr).red("pops:");
}

// A reader that has seen enough (`pops settings | head`) ends the program, as it ends others.
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    process.exit(BROKEN_PIPE);
  });
}

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    exitCode = error.exitCode === 0 ? 0 : USAGE;
  } else if (error instanceof PopsError) {
    process.stderr.write(`${problem()} ${printable(error.message)}\n`);
    exitCode = error.exitCode;
  } else {
    const details = error instanceof Error ? error.stack : undefined;
    process.stderr.write(`${problem()} unexpected failure, please report it: ${details ?? reasonOf(error)}\n`);
    exitCode = FAILED;
  }
}
process.exitCode = exitCode;
