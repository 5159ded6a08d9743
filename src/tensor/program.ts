import { ShapeError } from "../errors.ts";
import { elementsOf } from "../shape.ts";
import { sortNodes } from "./gradient.ts";
import { expand, input, sum, type Tensor } from "./graph.ts";
import { toOnnx } from "./onnx.ts";
import { InferenceSession, Tensor as OrtTensor } from "./onnxruntime.ts";

/**
 * What a program computes. `state` pairs a value with its successor: after every run the successor's buffer becomes the
 * current one (buffers are swapped, nothing is copied).
 */
export interface ProgramSpec {
  readonly inputs: Readonly<Record<string, Tensor>>;
  readonly outputs: Readonly<Record<string, Tensor>>;
  readonly state?: Readonly<Record<string, readonly [current: Tensor, next: Tensor]>>;
}

const NEXT = "next:";

function allocate(tensor: Tensor): OrtTensor {
  const size = elementsOf(tensor.shape);
  switch (tensor.dtype) {
    case "float32":
      return new OrtTensor("float32", new Float32Array(size), tensor.shape);
    case "int32":
      return new OrtTensor("int32", new Int32Array(size), tensor.shape);
    case "uint8":
      return new OrtTensor("uint8", new Uint8Array(size), tensor.shape);
    case "bool":
      return new OrtTensor("bool", new Uint8Array(size), tensor.shape);
  }
}

let convolutionThreads = 1;

/**
 * Threads for each program with convolutions that this thread compiles from now on; 1 at first. Results do not depend on it:
 * ONNX Runtime shares out the elements of a result, not the terms of a sum. Dense programs are too short to be shared.
 */
export function useThreads(count: number): void {
  convolutionThreads = count;
}

/**
 * Threads wait for work by looking for it while a run lasts, which saves a fifth of a training step; between two runs they
 * would take the processor from everybody else, and sleep.
 */
const sharedOut = (threads: number): InferenceSession.SessionOptions => ({
  ...SESSION,
  intraOpNumThreads: threads,
  extra: { session: { ...DENORMALS, force_spinning_stop: "1", intra_op: { allow_spinning: "1" } } },
});

// Moments of dead units decay into denormals, whose arithmetic is many times slower.
const DENORMALS = { set_denormal_as_zero: "1" };

const SESSION: InferenceSession.SessionOptions = {
  executionProviders: ["cpu"],
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  executionMode: "sequential",
  graphOptimizationLevel: "all",
  enableMemPattern: false,
  logSeverityLevel: 3,
  extra: { session: DENORMALS },
};

/**
 * glibc gives freed memory back to the kernel after every run until it has seen one large block come and go; the page
 * faults of getting it again cost a third of a training step (1.75 ms against 1.22 ms at 4-256-256-128-2, batch 128).
 * One throw-away run with a 24 MB intermediate, 40 ms, raises its thresholds for the whole process.
 */
let calmed: Promise<void> | undefined;
async function calmAllocator(): Promise<void> {
  const x = input([1]);
  const bytes = toOnnx({ x }, { y: sum(expand(x, [6_000_000])) });
  const session = await InferenceSession.create(bytes, { ...SESSION, enableCpuMemArena: false });
  await session.run({ x: new OrtTensor("float32", Float32Array.of(1), [1]) });
  await session.release();
}

/**
 * A compiled expression graph: one native call of ONNX Runtime a run, all buffers allocated once. One thread a session:
 * results don't depend on the machine's cores, and several sessions run side by side in worker threads at full speed.
 */
export class Program {
  readonly #session: InferenceSession;
  readonly #feeds: Record<string, OrtTensor> = {};
  readonly #fetches: Record<string, OrtTensor> = {};
  readonly #state: readonly string[];

  private constructor(session: InferenceSession, spec: ProgramSpec) {
    this.#session = session;
    this.#state = Object.keys(spec.state ?? {});
    for (const [name, tensor] of Object.entries(spec.inputs)) this.#feeds[name] = allocate(tensor);
    for (const [name, tensor] of Object.entries(spec.outputs)) this.#fetches[name] = allocate(tensor);
    for (const [name, [current, next]] of Object.entries(spec.state ?? {})) {
      this.#feeds[name] = allocate(current);
      this.#fetches[NEXT + name] = allocate(next);
    }
  }

  /**
   * Compiles.
   * @throws ShapeError when a name is used twice, a needed input has none, or a successor is not like its state.
   */
  static async compile(spec: ProgramSpec): Promise<Program> {
    const names = [spec.inputs, spec.outputs, spec.state ?? {}].flatMap((part) => Object.keys(part));
    const twice = names.find((name, i) => names.indexOf(name) !== i);
    if (twice !== undefined) throw new ShapeError("program", `two values are named ${twice}`);
    const inputs: Record<string, Tensor> = { ...spec.inputs };
    const outputs: Record<string, Tensor> = { ...spec.outputs };
    for (const [name, [current, next]] of Object.entries(spec.state ?? {})) {
      if (current.dtype !== next.dtype || current.shape.join() !== next.shape.join()) {
        const [is, becomes] = [current, next].map(({ dtype, shape }) => `${dtype} [${shape.join(", ")}]`);
        throw new ShapeError("program", `state ${name} is ${is}, its successor ${becomes}`);
      }
      inputs[name] = current;
      outputs[NEXT + name] = next;
    }
    calmed ??= calmAllocator();
    await calmed;
    const nodes = convolutionThreads > 1 ? sortNodes(Object.values(outputs)) : [];
    const shared = nodes.some(({ operation }) => operation === "conv" || operation === "windowProduct");
    const options = shared ? sharedOut(convolutionThreads) : SESSION;
    const session = await InferenceSession.create(toOnnx(inputs, outputs), options);
    return new Program(session, spec);
  }

  /** The buffer of a float32 input, output or (current) state. Buffers of states change places at every run. */
  floats(name: string): Float32Array {
    const data = this.#find(name);
    if (data instanceof Float32Array) return data;
    throw new ShapeError("program", `${name} is not float32`);
  }

  /** The buffer of an int32 input or output. */
  ints(name: string): Int32Array {
    const data = this.#find(name);
    if (data instanceof Int32Array) return data;
    throw new ShapeError("program", `${name} is not int32`);
  }

  /** The buffer of a float32 or uint8 input. */
  numbers(name: string): Float32Array | Uint8Array {
    const data = this.#find(name);
    if (data instanceof Float32Array || data instanceof Uint8Array) return data;
    throw new ShapeError("program", `${name} is neither float32 nor uint8`);
  }

  #find(name: string): unknown {
    const tensor = this.#feeds[name] ?? this.#fetches[name];
    if (tensor) return tensor.data;
    const known = [...Object.keys(this.#feeds), ...Object.keys(this.#fetches)].filter((key) => !key.startsWith(NEXT));
    throw new ShapeError("program", `has no value named ${name}; it has ${known.join(", ")}`);
  }

  /**
   * Lets a float32 input read, or an output write, the caller's array from now on, without a copy. Not for a state, whose
   * buffers change places: set `floats(name)` instead.
   */
  bind(name: string, values: Float32Array): void {
    const side = name in this.#feeds ? this.#feeds : this.#fetches;
    const held = side[name];
    if (!held || this.#state.includes(name)) throw new ShapeError("program", `has no input or output named ${name}`);
    if (held.data === values) return;
    if (held.type !== "float32" || held.size !== values.length) {
      throw new ShapeError(
        "program",
        `${name} has ${held.size} values of ${held.type}, got ${values.length} of float32`,
      );
    }
    side[name] = new OrtTensor("float32", values, held.dims);
  }

  async run(): Promise<void> {
    await this.#session.run(this.#feeds, this.#fetches);
    for (const name of this.#state) {
      const next = this.#fetches[NEXT + name]!;
      this.#fetches[NEXT + name] = this.#feeds[name]!;
      this.#feeds[name] = next;
    }
  }

  /** Frees the native session. */
  async dispose(): Promise<void> {
    await this.#session.release();
  }
}
