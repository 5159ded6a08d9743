/**
 * `npm run bench -- exports`: decisions of every export at batch 1 and 256 beside onnxruntime-node, TensorFlow.js, PyTorch and
 * Stable-Baselines3 in the same run; how near C comes to what the processor can do; and where sparse forms pay. TensorFlow.js takes
 * part where the package `@tensorflow/tfjs` is installed beside, Python where POPS_PYTHON has torch and stable_baselines3, C where
 * there is a compiler.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { zooEntry, zooPath } from "../src/cli/zoo.ts";
import { specOf } from "../src/environment/registry.ts";
import { driverOf } from "../src/exporting/c/driver.ts";
import { FORMS, type Form } from "../src/exporting/c/layer.ts";
import { type CodeOptions, policyToC } from "../src/exporting/c/source.ts";
import { policyToJs } from "../src/exporting/js.ts";
import { policyToOnnx } from "../src/exporting/onnx.ts";
import { policyToSb3 } from "../src/exporting/sb3.ts";
import { loadPolicy } from "../src/importing/load.ts";
import { dense, describe, inputSize, layoutOf, outputSize } from "../src/network/architecture.ts";
import { initialize } from "../src/network/parameters.ts";
import type { Policy } from "../src/network/policy.ts";
import { quantize } from "../src/quantization/fixed-point.ts";
import { rangesOf } from "../src/quantization/ranges.ts";
import { stream } from "../src/random/pcg64.ts";
import { InferenceSession, Tensor as OrtTensor } from "../src/tensor/onnxruntime.ts";
import { timesOf } from "../src/verification/c-process.ts";
import { compile, compiler, footprintOf } from "../src/verification/compiler.ts";
import { median, printMachine, repeat, startPeer } from "./measure.ts";

const FLAGS = ["-O3", "-march=native"];
const BATCHES = [1, 256] as const;
const folder = mkdtempSync(join(tmpdir(), "pops-bench-"));
const cc = compiler();

const micros = (value: number | undefined): string =>
  value === undefined ? "none" : Number(value.toPrecision(3)).toString();
const ratio = (a: number | undefined, b: number | undefined): string =>
  a === undefined || b === undefined ? "" : Number((a / b).toPrecision(3)).toString();

/** Microseconds of one of so many calls. */
async function timed(calls: number, work: () => unknown): Promise<number> {
  for (let i = 0; i < calls; i++) await work();
  const { wall } = await repeat(async () => {
    for (let i = 0; i < calls; i++) await work();
  });
  return (1000 * wall) / calls;
}

function observationsOf(policy: Policy, rows: number): Float32Array {
  const random = stream(1, "bench");
  const { architecture } = policy;
  const image = architecture.input.length === 3;
  return Float32Array.from({ length: rows * inputSize(architecture) }, () =>
    image ? random.integer(256) : random.normal(),
  );
}

/** Calls of a batch of 256 and single calls take about the same time in all. */
const callsOf = (policy: Policy, batch: number): number =>
  Math.max(1, Math.round((policy.architecture.input.length === 3 ? 100 : 4000) / batch));

async function byRuntime(policy: Policy, batch: number): Promise<number> {
  const { architecture, parameters } = policy;
  const options = { intraOpNumThreads: 1, interOpNumThreads: 1 };
  const session = await InferenceSession.create(policyToOnnx({ architecture, parameters, provenance: {} }), options);
  const feeds = {
    observation: new OrtTensor("float32", observationsOf(policy, batch), [batch, ...architecture.input]),
  };
  const time = await timed(callsOf(policy, batch), () => session.run(feeds));
  await session.release();
  return time;
}

interface Module {
  readonly forward: (observation: Float32Array, out?: Float32Array) => Float32Array;
}

let modules = 0;
async function byModule(policy: Policy, batch: number, form?: "straight" | "dense" | "sparse"): Promise<number> {
  const path = join(folder, `policy-${modules++}.mjs`);
  writeFileSync(path, policyToJs(policy, form).code);
  const { forward } = (await import(pathToFileURL(path).href)) as Module;
  const width = inputSize(policy.architecture);
  const rows = observationsOf(policy, batch);
  const each = Array.from({ length: batch }, (_, row) => rows.subarray(row * width, (row + 1) * width));
  const out = new Float32Array(outputSize(policy.architecture));
  // Loops here, not calls that are awaited: a decision takes less than a promise.
  const times = Math.ceil((policy.architecture.input.length === 3 ? 20 : 20_000) / batch);
  const work = (): void => {
    for (let i = 0; i < times; i++) for (const row of each) forward(row, out);
  };
  for (let i = 0; i < 5; i++) work();
  return (await timed(1, work)) / times;
}

async function byC(
  policy: Policy,
  batch: number,
  bits?: 8,
  form?: Form,
): Promise<{ micros: number; bytes: number } | undefined> {
  if (cc === undefined) return undefined;
  const { architecture } = policy;
  const image = architecture.input.length === 3;
  const rows = observationsOf(policy, 200);
  const given = image ? Uint8Array.from(rows) : rows;
  const options: CodeOptions = {
    prefix: "policy",
    file: "policy",
    observations: image ? "uint8_t" : "float",
    scratch: "static",
    form,
  };
  const fixed = bits && quantize(policy, await rangesOf(policy, given), bits);
  const { header, source } = policyToC(policy, options, fixed);
  writeFileSync(join(folder, "policy.h"), header);
  writeFileSync(join(folder, "policy.c"), source);
  writeFileSync(join(folder, "driver.c"), driverOf(architecture, options, fixed !== undefined));
  compile(cc, [...FLAGS, "driver.c", "policy.c", "-lm", "-o", "driver"], folder);
  const nanos = median(timesOf(join(folder, "driver"), given.subarray(0, inputSize(architecture))));
  return { micros: (batch * nanos) / 1000, bytes: footprintOf(folder, "policy.c", cc)?.flash ?? 0 };
}

/** As much of TensorFlow.js as is called here. */
interface TensorFlow {
  readonly version: { readonly tfjs: string };
  setBackend(name: string): Promise<boolean>;
  sequential(): { add(layer: unknown): void; predict(x: unknown): { dataSync(): unknown } };
  readonly layers: { dense(options: object): unknown; conv2d(options: object): unknown; flatten(): unknown };
  tensor(values: Float32Array, shape: number[]): unknown;
  tidy<Result>(work: () => Result): Result;
}

async function tensorFlow(): Promise<TensorFlow | undefined> {
  try {
    const name = "@tensorflow/tfjs";
    const tf = (await import(name)) as TensorFlow;
    await tf.setBackend("cpu");
    return tf;
  } catch {
    return undefined;
  }
}

async function byTensorFlow(tf: TensorFlow, policy: Policy, batch: number): Promise<number> {
  const { architecture } = policy;
  const model = tf.sequential();
  const [channels = 1, height = 1, width = 1] = architecture.input;
  const shape = architecture.input.length === 3 ? [height, width, channels] : [...architecture.input];
  let flat = architecture.input.length === 1;
  for (const [l, layer] of architecture.layers.entries()) {
    const first = l === 0 && { inputShape: shape };
    const activation = layer.activation === "none" ? "linear" : layer.activation;
    if (layer.kind === "conv") {
      model.add(
        tf.layers.conv2d({
          filters: layer.units,
          kernelSize: layer.kernel,
          strides: layer.stride,
          activation,
          ...first,
        }),
      );
      continue;
    }
    if (!flat) model.add(tf.layers.flatten());
    flat = true;
    model.add(tf.layers.dense({ units: layer.units, activation, ...first }));
  }
  const rows = observationsOf(policy, batch);
  return timed(Math.max(1, Math.round(callsOf(policy, batch) / 10)), () => {
    tf.tidy(() => model.predict(tf.tensor(rows, [batch, ...shape])).dataSync());
  });
}

interface Answer {
  readonly micros: number;
  readonly versions: string;
}

async function decisions(): Promise<void> {
  const tf = await tensorFlow();
  const first = { layers: [{ units: 2, activation: "none" }], input: [4], batch: 1, calls: 1 };
  const torch = await startPeer<Answer>("exports-peer.py", first);
  console.log(
    `Decisions: microseconds a call, outputs of 1 or of 256 observations, one thread. ${[
      `onnxruntime-node ${(JSON.parse(readFileSync("node_modules/onnxruntime-node/package.json", "utf8")) as { version: string }).version}`,
      tf ? `TensorFlow.js ${tf.version.tfjs} (its CPU backend)` : "TensorFlow.js is missing",
      torch ? torch.first.versions : "PyTorch and Stable-Baselines3 are missing",
      cc
        ? `C by ${execFileSync(cc, ["--version"], { encoding: "utf8" }).split("\n")[0]} ${FLAGS.join(" ")}`
        : "a compiler of C is missing",
    ].join("; ")}.\n`,
  );
  console.log(
    "| policy | batch | JS | C | C, int8 | onnxruntime-node | TensorFlow.js | PyTorch | SB3 `predict` | onnxruntime / JS | onnxruntime / C |",
  );
  console.log("|---|---|---|---|---|---|---|---|---|---|---|");
  for (const name of [
    "CartPole-v1-policy",
    "LunarLander-v3-policy",
    "LunarLander-v3-teacher",
    "CartPole-v1-teacher",
    "Pong-v0-policy",
    "Pong-v0-teacher",
  ]) {
    const policy = await loadPolicy(zooPath(zooEntry(name)));
    const { architecture } = policy;
    const zip = join(folder, `${name}.zip`);
    const sb3 = architecture.input.length === 1;
    if (sb3) writeFileSync(zip, policyToSb3(policy, specOf(policy.environment ?? "")));
    const large = name === "Pong-v0-teacher";
    for (const batch of BATCHES) {
      if (large && batch > 1) continue;
      const runtime = await byRuntime(policy, batch);
      const js = large ? undefined : await byModule(policy, batch);
      const c = large ? undefined : (await byC(policy, batch))?.micros;
      const whole = name.endsWith("policy") ? (await byC(policy, batch, 8))?.micros : undefined;
      const flow = tf && !large ? await byTensorFlow(tf, policy, batch) : undefined;
      const question = { layers: architecture.layers, input: architecture.input, batch, calls: callsOf(policy, batch) };
      const peer = (await torch?.ask(question))?.micros;
      const predict = sb3 && batch === 1 ? (await torch?.ask({ zip, calls: 500 }))?.micros : undefined;
      const cells = [js, c, whole, runtime, flow, peer, predict].map(micros);
      console.log(
        `| ${name}, ${describe(architecture)} | ${batch} | ${cells.join(" | ")} | ${ratio(runtime, js)} | ${ratio(runtime, c)} |`,
      );
    }
  }
  torch?.close();
}

/** Multiply-adds a second of this machine's core: independent sums in registers, compiled as the policies are. */
function peak(): number | undefined {
  if (cc === undefined) return undefined;
  const source = `#include <stdio.h>
#include <time.h>
#define SUMS 128
static float sums[SUMS];
static volatile float factor = 0.999f, term = 0.001f;
int main(void)
{
  double best = 0;
  for (int round = 0; round < 20; round++) {
    const long times = 400000;
    const float x = factor, y = term;
    float s[SUMS];
    for (int i = 0; i < SUMS; i++) s[i] = sums[i];
    const clock_t start = clock();
    for (long t = 0; t < times; t++) for (int i = 0; i < SUMS; i++) s[i] = s[i] * x + y;
    const double rate = (double)times * SUMS / ((double)(clock() - start) / CLOCKS_PER_SEC);
    for (int i = 0; i < SUMS; i++) sums[i] = s[i];
    if (rate > best) best = rate;
  }
  printf("%f", best);
  return 0;
}
`;
  writeFileSync(join(folder, "peak.c"), source);
  compile(cc, [...FLAGS, "-ffp-contract=fast", "peak.c", "-o", "peak"], folder);
  return Number(spawnSync(join(folder, "peak"), { encoding: "utf8" }).stdout);
}

async function limit(): Promise<void> {
  const rate = peak();
  if (rate === undefined) return;
  const teacher = await loadPolicy(zooPath(zooEntry("LunarLander-v3-teacher")));
  const c = (await byC(teacher, 1))?.micros ?? 0;
  const macs = layoutOf(teacher.architecture).reduce((sum, { weights }) => sum + weights.length, 0);
  const least = (macs / rate) * 1e6;
  console.log(`
The dense layers of LunarLander-v3-teacher in C, ${macs} multiply-adds, take ${micros(c)} microseconds. One core makes ${(rate / 1e9).toFixed(1)} thousand million multiply-adds a second at best, measured in the same run by
128 sums in registers under the same flags: ${micros(least)} microseconds, so that C takes ${ratio(c, least)} times the arithmetic limit.`);
}

/** A network of which a share of the weights is left, evenly. */
function pruned(density: number): Policy {
  const architecture = dense(8, [64, 64, 64], 4, "q-values");
  const parameters = initialize(architecture, "he", stream(1, "bench"));
  const random = stream(2, "bench");
  for (const { weights } of layoutOf(architecture)) {
    for (let at = weights.offset; at < weights.offset + weights.length; at++)
      if (random.double() >= density) parameters[at] = 0;
  }
  return { architecture, parameters, provenance: {} };
}

async function sparsity(): Promise<void> {
  console.log(`
Where sparsity pays: one decision of a pruned 8-64-64-64-4 that nobody shrank, microseconds, in each form of its layers; bytes are code and constants in C at -Os.
`);
  console.log(
    "| weights left | JS dense | JS sparse | JS straight | C dense | bytes | C sparse | bytes | onnxruntime-node |",
  );
  console.log("|---|---|---|---|---|---|---|---|---|");
  for (const density of [1, 0.5, 0.3, 0.1, 0.03]) {
    const policy = pruned(density);
    const js = { dense: 0, sparse: 0, straight: 0 };
    for (const form of FORMS) js[form] = await byModule(policy, 1, form);
    const [full, few] = [await byC(policy, 1, undefined, "dense"), await byC(policy, 1, undefined, "sparse")];
    const cells = [
      js.dense,
      js.sparse,
      js.straight,
      full?.micros,
      full?.bytes,
      few?.micros,
      few?.bytes,
      await byRuntime(policy, 1),
    ];
    console.log(`| ${100 * density} % | ${cells.map(micros).join(" | ")} |`);
  }
}

printMachine();
try {
  await decisions();
  await limit();
  await sparsity();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
