import { countsOf, describe, inputSize, layoutOf } from "../../network/architecture.ts";
import { nonZeroOf, type Policy } from "../../network/policy.ts";
import { integer } from "../../report/format.ts";
import { calibrationOf } from "../../verification/calibration.ts";
import { compiler } from "../../verification/compiler.ts";
import { type Built, build } from "../../verification/exports.ts";
import { exportLatency, measureLatency } from "../latency.ts";
import { share } from "../progress.ts";
import { type RecordedFlags, recordOne } from "../recorded.ts";
import { columns } from "../table.ts";
import { layersIn } from "./export.ts";
import { exportsOf } from "./verify.ts";

export interface AnalyzeFlags extends RecordedFlags {
  readonly exports?: string[];
  readonly rows: number;
  readonly json?: boolean;
}

interface LayerCost {
  readonly name: string;
  readonly units: number;
  readonly parameters: number;
  readonly nonZero: number;
  readonly macs: number;
  /** In float32. */
  readonly bytes: number;
}

type ExportCost = Pick<Built, "name" | "bytes" | "footprint" | "cortexM4"> & { readonly micros: number };

/** Shows what each layer of a policy costs, and what each of its exports takes here: bytes, memory and time. */
export async function analyze(file: string, flags: AnalyzeFlags): Promise<void> {
  const policy = await layersIn(file, "analyze", "policy");
  const compiles = compiler() !== undefined;
  const wanted = exportsOf(flags.exports).filter((name) => compiles || !name.startsWith("c"));
  const { observations } = await recordOne(policy, file, flags, flags.rows);
  const observation = Float32Array.from(observations.subarray(0, inputSize(policy.architecture)));
  const calibration = calibrationOf(policy, observations);
  const layers = layersOf(policy);
  const micros = await measureLatency(policy);
  const exports: ExportCost[] = [];
  for (const name of wanted) {
    const built = await build(policy, name, calibration);
    try {
      const { bytes, footprint, cortexM4 } = built;
      const cost = { name, bytes, micros: await exportLatency(built, observation) };
      exports.push({ ...cost, ...(footprint && { footprint }), ...(cortexM4 && { cortexM4 }) });
    } finally {
      await built.close();
    }
  }
  const counts = countsOf(policy.architecture);
  if (flags.json) {
    const said = { layers: describe(policy.architecture), ...counts, nonZero: nonZeroOf(policy), micros };
    process.stdout.write(`${JSON.stringify({ ...said, byLayer: layers, exports })}\n`);
    return;
  }
  const lines = [
    `${describe(policy.architecture)}: ${integer(counts.weights)} weights, ${share(nonZeroOf(policy) / counts.weights)} not 0, ${integer(counts.macs)} multiply-adds`,
    "",
    ...columns([
      ["layer", "units", "parameters", "not 0", "multiply-adds", "bytes"],
      ...layers.map((layer) => [
        layer.name,
        ...[layer.units, layer.parameters, layer.nonZero, layer.macs, layer.bytes].map(integer),
      ]),
    ]),
    "",
    ...columns([
      ["export", "bytes", "RAM", "Cortex-M4 flash", "RAM", "microseconds"],
      ["PoPS itself", "", "", "", "", time(micros)],
      ...exports.map(({ name, bytes, footprint, cortexM4, micros: taken }) => [
        name,
        integer(bytes),
        ...[footprint?.ram, cortexM4?.flash, cortexM4?.ram].map((size) => (size === undefined ? "" : integer(size))),
        time(taken),
      ]),
    ]),
    "",
    "bytes: of the file; of C, code and constants of the object file at -Os. Microseconds: median of one decision, one thread; C at -O3 for this machine.",
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}

const time = (micros: number): string => micros.toPrecision(3);

function layersOf({ architecture, parameters }: Policy): LayerCost[] {
  return layoutOf(architecture).map(({ name, outputs, weights, biases, positions }) => {
    const own = parameters.subarray(weights.offset, biases.offset + biases.length);
    return {
      name,
      units: outputs,
      parameters: own.length,
      nonZero: own.filter((value) => value !== 0).length,
      macs: weights.length * positions,
      bytes: 4 * own.length,
    };
  });
}
