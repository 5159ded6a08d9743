import { elementsOf } from "../shape.ts";
import { InferenceSession, Tensor as OrtTensor } from "./onnxruntime.ts";

/**
 * Of a model that others made: one thread, so that results do not depend on the machine; errors are thrown, not printed. Of the
 * optimisations only those that leave nothing but standard operators: the others gain nothing at these sizes, and the more of
 * ONNX Runtime sees the model, the more of it can fail.
 */
const OPTIONS: InferenceSession.SessionOptions = {
  executionProviders: ["cpu"],
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  executionMode: "sequential",
  graphOptimizationLevel: "basic",
  enableMemPattern: false,
  logSeverityLevel: 4,
};

const buffers = { float32: Float32Array, float64: Float64Array, uint8: Uint8ClampedArray } as const;

function isBuffered(type: string): type is keyof typeof buffers {
  return type in buffers;
}

/**
 * An ONNX model with one input and one output, in ONNX Runtime, for a fixed number of rows. Numbers come and go as float32
 * and are brought to the model's own types.
 */
export class ModelSession {
  readonly rows: number;
  readonly #session: InferenceSession;
  readonly #feed: OrtTensor;
  readonly #into: Float32Array | Float64Array | Uint8ClampedArray;

  private constructor(
    session: InferenceSession,
    feed: OrtTensor,
    into: Float32Array | Float64Array | Uint8ClampedArray,
  ) {
    this.#session = session;
    this.#feed = feed;
    this.#into = into;
    this.rows = feed.dims[0] ?? 1;
  }

  /**
   * @param rows that each run gets, where the model takes any number
   * @throws Error when ONNX Runtime refuses the model
   */
  static async open(model: Uint8Array, rows: number): Promise<ModelSession> {
    const session = await InferenceSession.create(model, OPTIONS);
    const [input] = session.inputMetadata;
    if (!input?.isTensor || !isBuffered(input.type)) throw new Error("has no input of float32, float64 or uint8");
    const dims = input.shape.map((size) => (typeof size === "number" ? size : rows));
    const into = new buffers[input.type](elementsOf(dims));
    // ONNX Runtime knows no clamped bytes: it gets the same memory as plain ones.
    const feed =
      into instanceof Uint8ClampedArray
        ? new OrtTensor("uint8", new Uint8Array(into.buffer), dims)
        : into instanceof Float64Array
          ? new OrtTensor("float64", into, dims)
          : new OrtTensor("float32", into, dims);
    return new ModelSession(session, feed, into);
  }

  /**
   * Runs `rows` observations and writes their outputs, the rows one after the other.
   * @param observations [at most `rows`, size]; what is missing is filled with what was there
   * @throws Error when ONNX Runtime fails, or gives another number of outputs
   */
  async run(observations: Float32Array, outputs: Float32Array): Promise<void> {
    this.#into.set(observations);
    const [name = ""] = this.#session.inputNames;
    const [result = ""] = this.#session.outputNames;
    const made = (await this.#session.run({ [name]: this.#feed }))[result]?.data;
    if (!(made instanceof Float32Array || made instanceof Float64Array)) throw new Error("gives no float32 or float64");
    if (made.length % this.rows !== 0 || made.length < outputs.length) throw new Error(`gives ${made.length} numbers`);
    outputs.set(made.subarray(0, outputs.length));
  }

  /** Frees the native session. */
  async dispose(): Promise<void> {
    await this.#session.release();
  }
}
