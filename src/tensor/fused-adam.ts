/**
 * Adam's update in one pass over memory. As graph pieces it takes ten passes, and a fifth of a training step of 100,000
 * parameters; ONNX Runtime has no fused operator for it. The kernel is assembled here, 4 floats at a time by WebAssembly's
 * 128-bit vectors, with the graph's operations in the graph's order, so both give the same bits (test/tensor/fused-adam.test.ts).
 */

/** Flat arrays in the kernel's memory, and the step that updates them in place. */
export interface FusedStep {
  readonly parameters: Float32Array;
  readonly moments: readonly [m: Float32Array, v: Float32Array];
  /** To be filled before a step. */
  readonly gradient: Float32Array;
  /** `gradientScale` multiplies the gradient first: the factor of norm clipping, or 1. */
  readonly step: (rate: number, epsilon: number, gradientScale: number) => void;
}

const LANES = 4;
const PAGE_BYTES = 65_536;

// Opcodes of the WebAssembly specification (core 2.0, section 5.4); 0xfd begins a vector instruction.
const I32 = 0x7f;
const F32 = 0x7d;
const V128 = 0x7b;
const op = {
  load: (offset: number) => [0xfd, 0x00, 4, ...unsigned(offset)],
  store: (offset: number) => [0xfd, 0x0b, 4, ...unsigned(offset)],
  splat: [0xfd, 0x13],
  sqrt: [0xfd, 0xe3, 0x01],
  add: [0xfd, 0xe4, 0x01],
  sub: [0xfd, 0xe5, 0x01],
  mul: [0xfd, 0xe6, 0x01],
  div: [0xfd, 0xe7, 0x01],
  get: (local: number) => [0x20, local],
  set: (local: number) => [0x21, local],
  tee: (local: number) => [0x22, local],
};

/** Unsigned LEB128. */
function unsigned(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) + 128, ...unsigned(Math.floor(value / 128))];
}

const vector = (items: readonly (readonly number[])[]): number[] => [...unsigned(items.length), ...items.flat()];
const section = (id: number, body: readonly number[]): number[] => [id, ...unsigned(body.length), ...body];
const text = (value: string): number[] => [
  ...unsigned(value.length),
  ...Array.from(value, (letter) => letter.charCodeAt(0)),
];

/** Module with the function `step(end, beta1, beta2, rate, epsilon, scale)` over arrays of `bytes` bytes each: p, m, v, g. */
function assemble(bytes: number): Uint8Array<ArrayBuffer> {
  const [at, g, m, v] = [6, 7, 8, 9] as const;
  const scalar = (local: number): number[] => [...op.get(local), ...op.splat];
  const body = [
    // do {
    [0x03, 0x40],
    // g = load(g) * scale
    op.get(at),
    op.load(3 * bytes),
    scalar(5),
    op.mul,
    op.set(g),
    // m = load(m) * beta1 + g
    op.get(at),
    op.get(at),
    op.load(bytes),
    scalar(1),
    op.mul,
    op.get(g),
    op.add,
    op.tee(m),
    op.store(bytes),
    // v = load(v) * beta2 + g * g
    op.get(at),
    op.get(at),
    op.load(2 * bytes),
    scalar(2),
    op.mul,
    op.get(g),
    op.get(g),
    op.mul,
    op.add,
    op.tee(v),
    op.store(2 * bytes),
    // p = load(p) - m / (sqrt(v) + epsilon) * rate
    op.get(at),
    op.get(at),
    op.load(0),
    op.get(m),
    op.get(v),
    op.sqrt,
    scalar(4),
    op.add,
    op.div,
    scalar(3),
    op.mul,
    op.sub,
    op.store(0),
    // at += 16; } while (at < end)
    op.get(at),
    [0x41, 16, 0x6a],
    op.tee(at),
    op.get(0),
    [0x49, 0x0d, 0x00, 0x0b, 0x0b],
  ].flat();
  const locals = vector([
    [1, I32],
    [3, V128],
  ]);
  const code = [...locals, ...body];
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, vector([[0x60, ...vector([[I32], [F32], [F32], [F32], [F32], [F32]]), 0x00]])),
    ...section(2, vector([[...text("host"), ...text("memory"), 0x02, 0x00, 0x01]])),
    ...section(3, vector([[0x00]])),
    ...section(7, vector([[...text("step"), 0x00, 0x00]])),
    ...section(10, vector([[...unsigned(code.length), ...code]])),
  ]);
}

/** The part of the WebAssembly API in use; Node's types have no values of it. */
interface Wasm {
  readonly Memory: new (size: { initial: number }) => { readonly buffer: ArrayBuffer };
  readonly Module: new (bytes: Uint8Array<ArrayBuffer>) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: Readonly<Record<string, unknown>> };
}
const { WebAssembly: wasm } = globalThis as unknown as { readonly WebAssembly: Wasm };

type Kernel = (end: number, beta1: number, beta2: number, rate: number, epsilon: number, scale: number) => void;

/** Memory and kernel for `size` parameters. */
export function fusedAdam(size: number, beta1: number, beta2: number): FusedStep {
  const bytes = 4 * LANES * Math.ceil(size / LANES);
  const memory = new wasm.Memory({ initial: Math.max(1, Math.ceil((4 * bytes) / PAGE_BYTES)) });
  const instance = new wasm.Instance(new wasm.Module(assemble(bytes)), { host: { memory } });
  const kernel = instance.exports["step"] as Kernel;
  const part = (index: number): Float32Array => new Float32Array(memory.buffer, index * bytes, size);
  return {
    parameters: part(0),
    moments: [part(1), part(2)],
    gradient: part(3),
    step: (rate, epsilon, gradientScale) => {
      kernel(bytes, beta1, beta2, rate, epsilon, gradientScale);
    },
  };
}
