/** Typed arrays that a state may hold. A checkpoint stores each as one tensor. */
export type PlainArray = Float32Array | Float64Array | Int32Array | Uint32Array | Uint8Array;

/**
 * Plain data: what every `getState()` returns and every `setState()` takes. JSON values plus typed arrays; no
 * functions, classes, cycles, `undefined` or `NaN` outside typed arrays. Saving and loading it loses nothing.
 */
export type Plain =
  | null
  | boolean
  | number
  | string
  | PlainArray
  | readonly Plain[]
  | { readonly [key: string]: Plain };
