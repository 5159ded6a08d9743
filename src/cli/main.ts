#!/usr/bin/env node
import { Command, CommanderError, Option } from "commander";
import { FileError, PopsError, reasonOf } from "../errors.ts";
import { VERSION } from "../exporting/version.ts";
import { collect, divisor, duration, fraction, integer, list, patience, seconds } from "./arguments.ts";
import { compareOnObservations } from "./commands/agreement.ts";
import { analyze } from "./commands/analyze.ts";
import { showEnvironments, showSettings } from "./commands/environments.ts";
import { evaluatePolicy } from "./commands/evaluate.ts";
import { exportPolicy } from "./commands/export.ts";
import { type ImportFlags, importFile, importTfCheckpoint } from "./commands/import.ts";
import { inspect } from "./commands/inspect.ts";
import { newEnvironment } from "./commands/new.ts";
import { compress, type RunFlags, train } from "./commands/run.ts";
import { verifyExports } from "./commands/verify.ts";
import { getFromZoo, listZoo } from "./commands/zoo.ts";
import { end, exit, stopOrExit, strayOf, UNSETTLED, unsettled } from "./strays.ts";
import { coloursOf, printable } from "./terminal.ts";

/** Exit codes that no PopsError has: an unforeseen error, a wrong command line, a reader of the output that went away. */
const FAILED = 1;
const USAGE = 2;
const BROKEN_PIPE = 141;

/** No default here: processes of Gymnasium's environments are fewer unless it is given. */
const workersOption = [
  "--workers <n>",
  "threads, and processes of a gymnasium: environment; their number never changes a result (default: the number of cores)",
  integer(1),
] as const;

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

/** Logged observations, where there is no environment. */
function observationOptions(command: Command): Command {
  return command
    .option(
      "--observations <file>",
      "logged observations instead of an environment: .npz, .npy, .safetensors, .hdf5, .jsonl or .csv",
    )
    .option("--observations-key <name>", "name of the array of observations in it, where it is none of the usual ones");
}

/** The preset, seed and settings have no defaults here: a resumed run has to know whether they were given. */
function runOptions(command: Command): Command {
  return environmentOptions(command)
    .option("--preset <name>", 'settings to start from; "pops environments" lists them (default: default)')
    .option("--quick", "less training, fewer tries, fewer episodes of proof: an answer sooner, possibly a larger one")
    .option("--set <key=value>", 'change one setting, several times if wanted; "pops settings" lists them', collect)
    .option("--seed <n>", "seed of every random stream (default: 1)", integer(0))
    .option("--out <folder>", "run folder (default: the first free runs/<environment>-<n>)")
    .option(
      "--budget <time>",
      'time for this session, as "45m" or "2h": after four fifths of it nothing smaller is tried and the best is proven',
      duration,
    )
    .option("--target <export>", "try and prove policies as they are shipped: c-int8 or c-int16, written beside them")
    .option(
      "--max-bytes <n>",
      "code and constants that the policy may have there; of those that fit the best is taken",
      integer(1),
    )
    .option("--resume", "go on with the run in --out; --set teacher.totalSteps=... moves the end of a training")
    .option(...workersOption)
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
  .exitOverride()
  .configureOutput({
    outputError: (text, write) => {
      write(`${problem()} ${printable(text.replace(/^error: /, "").trim())}\n`);
    },
  });

const ENVIRONMENT =
  "an id, for example CartPole-v1, gymnasium:CartPole-v1 or ale:Pong, or a module of your own, ./my-env.ts";
const environmentOption = [
  "--env <environment>",
  `environment, if the file names none or another is meant: ${ENVIRONMENT}`,
] as const;
const statisticsOption = [
  "--vec-normalize <file>",
  "statistics of observations that VecNormalize.save() of Stable-Baselines3 wrote",
] as const;
const headOption = [
  "--head <kind>",
  "what the outputs mean: q-values, logits or gaussian (default: as the file or the environment says, or q-values)",
] as const;

const exportsOption = [
  "--exports <names>",
  "which, by commas: onnx, onnx-qdq, onnx-dynamic, js, c, c-int16, c-int8 (default: all but onnx-dynamic)",
  list,
] as const;

for (const [command, description] of [
  ["run", "train a teacher, compress it, prove it, export it"],
  ["train", "train a teacher only"],
] as const) {
  runOptions(program.command(command).description(description))
    .argument("[environment]", ENVIRONMENT)
    .option("--env <environment>", "the same as the argument")
    .action((environment: string | undefined, flags: RunFlags) => exitWith(train(command, environment, flags)));
}
observationOptions(runOptions(program.command("compress").description("compress a policy that is there")))
  .argument("[policy]", "file of PoPS, Stable-Baselines3 (.zip), PyTorch, safetensors or ONNX")
  .option("--teacher <file>", "the same as the argument")
  .option(...environmentOption)
  .option(...headOption)
  .option(...statisticsOption)
  .action((policy: string | undefined, flags: RunFlags) => exitWith(compress(policy, flags)));

observationOptions(environmentOptions(program.command("evaluate")))
  .description(
    "play a policy and report its score with confidence bounds, or hold it against its teacher on observations",
  )
  .argument("<file>", "policy file")
  .option(...environmentOption)
  .option(...headOption)
  .option(...statisticsOption)
  .option("--episodes <n>", "episodes", integer(2), 100)
  .option("--seed <n>", "seed of the episodes", integer(0), 1)
  .option(...workersOption)
  .option("--sampled", "draw actions from the policy's distribution instead of its best ones")
  .option("--teacher <file>", "policy to compare with, on --observations: nothing is played")
  .option(
    "--tolerance <share>",
    "of each dimension's range, up to which continuous actions agree (default: 0.05)",
    fraction,
  )
  .option("--json", "print JSON")
  .action((file: string, flags: Parameters<typeof evaluatePolicy>[1] & Parameters<typeof compareOnObservations>[1]) =>
    flags.observations === undefined && flags.teacher === undefined
      ? evaluatePolicy(file, flags)
      : compareOnObservations(file, flags),
  );

program
  .command("inspect")
  .description("show what a policy file or a run folder holds, or check an environment of your own")
  .argument("<path>", "policy file, run folder, or module")
  .option("--json", "print JSON")
  .action((path: string, flags: Parameters<typeof inspect>[1]) => inspect(path, flags));

observationOptions(environmentOptions(program.command("export")))
  .description("write a policy in another format")
  .argument(
    "<format>",
    "onnx, safetensors, sb3 (a model.zip for Stable-Baselines3), js (a module, and its types beside it), html (a page that plays it), or c (a source, its header and a test)",
  )
  .argument("<file>", "policy file")
  .requiredOption("--output <file>", "file to write")
  .option(
    "--env <environment>",
    "environment whose spaces a model.zip is to have, that a page plays, or that quantisation is calibrated in (default: the policy's)",
  )
  .option("--half", "half precision, of safetensors: half the bytes, each number rounded")
  .option("--quantize <scheme>", "whole numbers, calibrated on observations: qdq or dynamic (onnx), int8 or int16 (c)")
  .option("--calibration <n>", "observations to calibrate on (default: 10000)", integer(1))
  .option("--seed <n>", "seed of the episodes in which they are recorded", integer(0), 1)
  .option("--prefix <name>", "beginning of all names in C (default: policy)")
  .addOption(
    new Option("--scratch <where>", "where C keeps the numbers between layers (default: static)").choices([
      "static",
      "caller",
    ]),
  )
  .action((format: string, file: string, flags: Parameters<typeof exportPolicy>[2]) =>
    exportPolicy(format, file, flags),
  );

observationOptions(environmentOptions(program.command("verify")))
  .description("build the exports of a policy and hold each against it, on observations and in episodes")
  .argument("<file>", "policy file")
  .option(...environmentOption)
  .option(...exportsOption)
  .option("--rows <n>", "observations to compare on, and as many others to calibrate on", integer(1), 10_000)
  .option("--episodes <n>", "held-out episodes to play", integer(2), 100)
  .option("--seed <n>", "seed of all of them", integer(0), 1)
  .option(...workersOption)
  .option("--json", "print JSON")
  .action((file: string, flags: Parameters<typeof verifyExports>[1]) => verifyExports(file, flags));

observationOptions(environmentOptions(program.command("analyze")))
  .description("show what each layer of a policy costs, and what its exports take here: bytes, memory, time")
  .argument("<file>", "policy file")
  .option(...environmentOption)
  .option(...exportsOption)
  .option("--rows <n>", "observations to calibrate whole numbers on", integer(1), 1_000)
  .option("--seed <n>", "seed of the episodes in which they are recorded", integer(0), 1)
  .option("--json", "print JSON")
  .action((file: string, flags: Parameters<typeof analyze>[1]) => analyze(file, flags));

const importing = program.command("import").description("make a policy file from a foreign one");

/** Options of every import. */
function importCommand(kind: string, argument: readonly [string, string], description: string): Command {
  const command = importing
    .command(kind)
    .description(description)
    .argument(...argument)
    .requiredOption("--output <file>", "file to write (.safetensors or .onnx)")
    .option(...environmentOption);
  return environmentOptions(command);
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
    .option("--squash", "a tanh brings the outputs onto the range of continuous actions (default: they are limited)")
    .option(
      "--strides <list>",
      "stride of each convolution, by commas; 2x1 is height x width (default: 4 for kernels of 8x8, 2 for 4x4, 1 for 3x3)",
      list,
    )
    .option("--padding <list>", "zeros around the images of each convolution, or same, by commas (default: none)", list)
    .option(
      "--flatten <order>",
      "how a dense layer takes images: chw, or hwc as TensorFlow (default: as is usual there)",
    )
    .option(
      "--scale <n>",
      "what pixels are divided by (default: 255 where the environment's observations go from 0 to 255)",
      divisor,
    );
}

layerOptions(
  importCommand(
    "tf-checkpoint",
    ["<prefix>", "path without .index"],
    "TensorFlow 1 checkpoint (index + data) of dense layers and convolutions",
  ),
).action((prefix: string, flags: ImportFlags) => importTfCheckpoint(prefix, flags));
const policyFile = ["<file>", "file to read; nothing in it is executed"] as const;
importCommand(
  "sb3",
  policyFile,
  "Stable-Baselines3's model.zip: MlpPolicy or CnnPolicy of DQN, PPO, A2C, SAC, TD3 or DDPG",
)
  .option(...statisticsOption)
  .action((file: string, flags: ImportFlags) => importFile("sb3", file, flags));
layerOptions(importCommand("torch", policyFile, "PyTorch state dict of dense layers and convolutions (.pt, .pth)"))
  .option(...statisticsOption)
  .action((file: string, flags: ImportFlags) => importFile("torch", file, flags));
layerOptions(
  importCommand("safetensors", policyFile, "safetensors file of dense layers and convolutions, as PyTorch names them"),
)
  .option(...statisticsOption)
  .action((file: string, flags: ImportFlags) => importFile("safetensors", file, flags));
importCommand("onnx", policyFile, "ONNX model that is a sequence of convolutions and dense layers")
  .option(...headOption)
  .option(...statisticsOption)
  .action((file: string, flags: ImportFlags) => importFile("onnx", file, flags));

program
  .command("new")
  .description("begin something of your own")
  .command("environment")
  .description("write a module with an environment that works as it is, to be changed into yours")
  .argument("[name]", "of the file and the class", "my-env")
  .action((name: string) => {
    newEnvironment(name);
  });

const zoo = program.command("zoo").description("trained teachers and compact policies that come with the package");
zoo
  .command("list")
  .description("list them with their scores")
  .option("--json", "print JSON")
  .action((flags: Parameters<typeof listZoo>[0]) => {
    listZoo(flags);
  });
zoo
  .command("get")
  .description("write one into a file")
  .argument("<name>", "as pops zoo list has it")
  .option("--output <file>", "file to write (default: its name, in the working folder)")
  .action((name: string, flags: Parameters<typeof getFromZoo>[1]) => {
    getFromZoo(name, flags);
  });

program
  .command("environments")
  .description("list environments and their presets")
  .option("--json", "print JSON")
  .action((flags: Parameters<typeof showEnvironments>[0]) => {
    showEnvironments(flags);
  });

environmentOptions(program.command("settings"))
  .description("list every setting with its value for an environment")
  .argument("[environment]", ENVIRONMENT, "CartPole-v1")
  .option("--preset <name>", "preset", "default")
  .action((environment: string, flags: Parameters<typeof showSettings>[1]) => showSettings(environment, flags));

function problem(): string {
  return coloursOf(process.stderr).red("pops:");
}

/** Exit code once nobody reads any more what is printed. */
let ended: number | undefined;
// A reader that has seen enough (`pops settings | head`) ends the program, as it ends others.
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (ended !== undefined) return;
    ended =
      error.code === "EPIPE"
        ? BROKEN_PIPE
        : failed(
            new FileError(
              stream === process.stdout ? "standard output" : "standard error",
              `cannot be written: ${error.message}`,
            ),
          );
    stopOrExit(ended);
  });
}

/** Says what ended the program; gives its exit code. */
function failed(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE;
  if (error instanceof PopsError) {
    process.stderr.write(`${problem()} ${printable(error.message)}\n`);
    return error.exitCode;
  }
  const details = error instanceof Error ? error.stack : undefined;
  process.stderr.write(`${problem()} unexpected failure, please report it: ${details ?? reasonOf(error)}\n`);
  return FAILED;
}

process.on("uncaughtException", (thrown) => {
  // A run has a listener of its own: it saves first. What comes once it has ended is of the same cause.
  if (process.listenerCount("uncaughtException") === 1 && exitCode === 0) exit(failed(strayOf(thrown)));
});
process.on("exit", () => {
  if (process.exitCode === UNSETTLED) process.exitCode = failed(unsettled());
});
try {
  await program.parseAsync();
} catch (error) {
  exitCode = failed(error);
}
end(ended ?? exitCode);
