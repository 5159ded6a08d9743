import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { specOf } from "../../src/environment/registry.ts";
import { loadTeacher } from "../../src/importing/load.ts";
import { constantOf } from "../../src/importing/onnx-call.ts";
import { measure } from "../../src/importing/onnx-shapes.ts";
import { argmax, boundActions } from "../../src/network/action.ts";
import { inputSize, outputSize } from "../../src/network/architecture.ts";
import { BlackBoxProgram } from "../../src/network/black-box.ts";
import type { AnyPolicy } from "../../src/network/policy.ts";
import { predictor } from "../../src/network/predict.ts";
import { encodeModel } from "../../src/tensor/onnx-model.ts";
import { decodeModel } from "../../src/tensor/onnx-reader.ts";
import { hasPackages, python } from "../environment/fixtures/python.ts";

const NEEDED = ["torch", "onnx"];

const casesSchema = z.array(
  z.object({
    name: z.string(),
    file: z.string(),
    environment: z.string().optional(),
    head: z.enum(["q-values", "logits", "gaussian"]).optional(),
    blackBox: z.boolean(),
  }),
);
type Case = z.infer<typeof casesSchema>[number];

const ENOUGH = { numbers: 2 ** 27, work: 2 ** 32 };

describe.skipIf(!hasPackages(NEEDED))(`ONNX graphs of PyTorch (needs Python with ${NEEDED.join(", ")})`, () => {
  const folder = mkdtempSync(join(tmpdir(), "pops-graphs-"));
  let cases: readonly Case[] = [];
  beforeAll(() => {
    const script = fileURLToPath(new URL("fixtures/make-graphs.py", import.meta.url));
    const { status, stderr } = spawnSync(python, [script, folder], { encoding: "utf8" });
    if (status !== 0) throw new Error(stderr);
    cases = casesSchema.parse(JSON.parse(readFileSync(join(folder, "graphs.json"), "utf8")));
  }, 240_000);
  afterAll(() => {
    rmSync(folder, { recursive: true });
  });

  const floats = (name: string): Float32Array =>
    new Float32Array(new Uint8Array(readFileSync(join(folder, name))).buffer);

  const load = ({ file, environment, head }: Case): Promise<AnyPolicy> =>
    loadTeacher(join(folder, file), {
      ...(environment !== undefined && { environment: specOf(environment) }),
      ...(head && { head }),
    });

  /** Outputs [rows, outputs] for observations. */
  async function outputsOf(policy: AnyPolicy, observations: Float32Array): Promise<Float32Array> {
    const { architecture } = policy;
    const [inputs, outputs] = [inputSize(architecture), outputSize(architecture)];
    const rows = observations.length / inputs;
    if ("parameters" in policy) {
      const predict = predictor(policy);
      const made = new Float32Array(rows * outputs);
      for (let row = 0; row < rows; row++) {
        made.set(predict(observations.subarray(row * inputs, (row + 1) * inputs)), row * outputs);
      }
      return made;
    }
    const program = await BlackBoxProgram.compile(policy, rows);
    program.bind("observations", observations);
    await program.run();
    const made = program.floats("outputs").slice();
    await program.dispose();
    return made;
  }

  it("give the outputs and actions that PyTorch gives on 1,000 observations", async () => {
    expect(cases.length).toBeGreaterThan(15);
    const results = [];
    for (const one of cases) {
      const policy = await load(one);
      const expected = floats(`${one.name}.outputs`);
      const actions = floats(`${one.name}.actions`);
      const made = await outputsOf(policy, floats(`${one.name}.observations`));
      const size = outputSize(policy.architecture);
      const error = Math.max(
        ...made.map((value, k) => Math.abs(value - expected[k]!) / Math.max(1, Math.abs(expected[k]!))),
      );
      let different = 0;
      for (let row = 0; row < 1000; row++) {
        const outputs = made.slice(row * size, (row + 1) * size);
        if (policy.architecture.gaussian) {
          boundActions(policy.architecture, outputs);
          if (outputs.some((value, d) => Math.abs(value - actions[row * size + d]!) > 1e-5)) different++;
        } else if (argmax(outputs) !== actions[row]) different++;
      }
      results.push({
        name: one.name,
        blackBox: "model" in policy,
        rows: made.length / size,
        exact: error < 1e-5,
        different,
      });
    }
    expect(results).toEqual(
      cases.map(({ name, blackBox }) => ({ name, blackBox, rows: 1000, exact: true, different: 0 })),
    );
  });

  it("have the shapes, value by value, that ONNX Runtime makes", async () => {
    const rows = 3;
    for (const { file, blackBox } of cases) {
      if (!blackBox) continue;
      const model = decodeModel(readFileSync(join(folder, file)), file);
      const { inputs, initializers, nodes } = model.graph;
      const [input] = inputs;
      const shape = input!.dims.map((size) => (typeof size === "number" ? size : rows));
      const given = new Map(initializers.map((tensor) => [tensor.name, constantOf(tensor)]));
      const { values } = measure(
        nodes,
        new Map([...given, [input!.name, { dtype: input!.dtype, shape }]]),
        model.opset,
        ENOUGH,
        file,
      );
      const made = nodes.flatMap(({ outputs }) => outputs);
      const outputs = made.map((name) => ({ name, dtype: values.get(name)!.dtype }));
      const session = await InferenceSession.create(encodeModel({ ...model, graph: { ...model.graph, outputs } }), {
        logSeverityLevel: 4,
        graphOptimizationLevel: "disabled",
      });
      const size = shape.reduce((product, length) => product * length, 1);
      const data = { float32: new Float32Array(size), float64: new Float64Array(size), uint8: new Uint8Array(size) };
      const { dtype } = input!;
      const feed = new Tensor(dtype as "float32", data[dtype as "float32"], shape);
      const results = await session.run({ [input!.name]: feed });
      await session.release();
      expect(made.map((name) => [file, name, values.get(name)!.dtype, values.get(name)!.shape])).toEqual(
        made.map((name) => [file, name, results[name]!.type, results[name]!.dims]),
      );
    }
  });
});
