import { FileError } from "../errors.ts";

/**
 * What a pickle holds, read without running anything: plain values, and objects of allowed classes as inert records. Lists
 * and dictionaries are those of Python; sets and tuples are read as lists.
 */
export type Pickled =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickledList
  | PickledDict
  | PickledObject
  | PickledGlobal;

export class PickledList {
  readonly items: Pickled[] = [];
}

/** Keys are strings or numbers; dictionaries with other keys are refused. */
export class PickledDict {
  readonly entries = new Map<string | number, Pickled>();
  get(key: string): Pickled | undefined {
    return this.entries.get(key);
  }
}

/** A class or function by its name. It is never called. */
export class PickledGlobal {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

/** What Python would make by calling `name` with `args`, the items that it would set, and its state. Nothing is called. */
export class PickledObject {
  readonly name: string;
  readonly args: readonly Pickled[];
  /** Of a subclass of dict; empty for others. */
  readonly items = new PickledDict();
  state: Pickled = null;
  constructor(name: string, args: readonly Pickled[]) {
    this.name = name;
    this.args = args;
  }
}

export interface PickleOptions {
  /** Names `module.attribute` that may stand in the pickle. All others are refused. */
  readonly allowed: ReadonlySet<string>;
  /** Makes sense of references to storages outside of the pickle (PyTorch); refused when not given. */
  readonly persistent?: (id: readonly Pickled[]) => Pickled;
}

/** Values that a pickle of at most 64 MiB may build; real policies have thousands. */
const MAX_STEPS = 4_000_000;
/** How deep values may nest. */
const MAX_MARKS = 1_000;

const MARK = Symbol("mark");
type Slot = Pickled | typeof MARK;

/**
 * Reads a pickle of protocol 2 to 5 by an interpreter that knows values, lists, dictionaries, and inert objects of allowed
 * names, and nothing else: no import, no call, no file, no memory beyond what the bytes themselves hold.
 * @throws FileError that names the place in `path` when the pickle is malformed, too deep, or needs a name that is not allowed
 */
export function readPickle(bytes: Uint8Array, path: string, options: PickleOptions): Pickled {
  return new Machine(bytes, path, options).run();
}

class Machine {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #path: string;
  readonly #options: PickleOptions;
  readonly #stack: Slot[] = [];
  readonly #memo = new Map<number, Pickled>();
  #marks = 0;
  #at = 0;

  constructor(bytes: Uint8Array, path: string, options: PickleOptions) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#path = path;
    this.#options = options;
  }

  run(): Pickled {
    for (let step = 0; step < MAX_STEPS; step++) {
      const at = this.#at;
      const code = this.#byte();
      if (code === 0x2e) return this.#pop();
      const operation = OPERATIONS.get(code);
      if (operation === undefined) this.#fail(`opcode 0x${code.toString(16)} is not allowed`, at);
      operation(this);
    }
    return this.#fail(`has more than ${MAX_STEPS} operations`);
  }

  #fail(what: string, at = this.#at): never {
    throw new FileError(this.#path, `pickle, byte ${at}: ${what}`);
  }

  #take(length: number): number {
    const at = this.#at;
    if (length < 0 || at + length > this.#bytes.length) this.#fail("ends before its time", at);
    this.#at += length;
    return at;
  }

  #byte(): number {
    return this.#bytes[this.#take(1)]!;
  }

  /** An unsigned little-endian integer of 1, 2, 4 or 8 bytes. */
  unsigned(size: 1 | 2 | 4 | 8): number {
    const at = this.#take(size);
    if (size === 1) return this.#view.getUint8(at);
    if (size === 2) return this.#view.getUint16(at, true);
    if (size === 4) return this.#view.getUint32(at, true);
    const value = this.#view.getBigUint64(at, true);
    return value > BigInt(this.#bytes.length) ? this.#fail(`length ${value} is beyond the file`, at) : Number(value);
  }

  int32(): number {
    return this.#view.getInt32(this.#take(4), true);
  }

  /** Big-endian, as pickles have floats. */
  float64(): number {
    return this.#view.getFloat64(this.#take(8));
  }

  raw(length: number): Uint8Array {
    const at = this.#take(length);
    return this.#bytes.subarray(at, at + length);
  }

  text(length: number): string {
    return new TextDecoder().decode(this.raw(length));
  }

  line(): string {
    const end = this.#bytes.indexOf(0x0a, this.#at);
    if (end < 0) this.#fail("a line has no end");
    const text = this.text(end - this.#at);
    this.#at++;
    return text;
  }

  /** Two's complement, little-endian. */
  long(length: number): number | bigint {
    if (length > 1024) this.#fail(`an integer of ${length} bytes`);
    let value = 0n;
    for (const [i, byte] of this.raw(length).entries()) value |= BigInt(byte) << BigInt(8 * i);
    value = BigInt.asIntN(8 * length, value);
    return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  }

  push(value: Pickled): void {
    this.#stack.push(value);
  }

  #pop(): Pickled {
    const value = this.#stack.pop();
    if (value === undefined || value === MARK) this.#fail("takes a value that is not there");
    return value as Pickled;
  }

  pop(): Pickled {
    return this.#pop();
  }

  top(): Pickled {
    const value = this.#pop();
    this.push(value);
    return value;
  }

  mark(): void {
    if (++this.#marks > MAX_MARKS) this.#fail(`is deeper than ${MAX_MARKS} levels`);
    this.#stack.push(MARK);
  }

  /** All values above the last mark. */
  popMark(): Pickled[] {
    const from = this.#stack.lastIndexOf(MARK);
    if (from < 0) this.#fail("a mark is missing");
    const values = this.#stack.splice(from + 1) as Pickled[];
    this.#stack.pop();
    this.#marks--;
    return values;
  }

  list(items: readonly Pickled[]): PickledList {
    const list = new PickledList();
    for (const item of items) list.items.push(item);
    return list;
  }

  extend(items: readonly Pickled[]): void {
    const list = this.top();
    if (!(list instanceof PickledList)) this.#fail("adds to what is no list");
    for (const item of items) list.items.push(item);
  }

  setItems(items: readonly Pickled[]): void {
    const target = this.top();
    const holder = target instanceof PickledObject ? target.items : target;
    if (!(holder instanceof PickledDict) || items.length % 2 !== 0) this.#fail("sets items of what is no dictionary");
    for (let i = 0; i < items.length; i += 2) {
      const key = items[i]!;
      if (typeof key !== "string" && typeof key !== "number") this.#fail("a key is neither text nor a number");
      holder.entries.set(key, items[i + 1]!);
    }
  }

  memoize(index = this.#memo.size): void {
    this.#memo.set(index, this.top());
  }

  recall(index: number): void {
    const value = this.#memo.get(index);
    if (value === undefined) this.#fail(`nothing was kept as ${index}`);
    this.push(value);
  }

  global(module: string, attribute: string): void {
    const name = `${module}.${attribute}`;
    if (!this.#options.allowed.has(name)) {
      this.#fail(
        `needs ${JSON.stringify(name)}, which is not among the names that may stand in a policy; nothing was executed`,
      );
    }
    this.push(new PickledGlobal(name));
  }

  /** Stands for a call, which is not made. */
  make(callee: Pickled, args: Pickled): void {
    if (!(callee instanceof PickledGlobal) || !(args instanceof PickledList)) this.#fail("calls what has no name");
    this.push(new PickledObject(callee.name, args.items));
  }

  build(): void {
    const state = this.#pop();
    const target = this.top();
    if (!(target instanceof PickledObject)) this.#fail("gives a state to what is no object");
    target.state = state;
  }

  persistent(): void {
    const id = this.#pop();
    const { persistent } = this.#options;
    if (persistent === undefined || !(id instanceof PickledList)) this.#fail("refers to something outside");
    this.push(persistent(id.items));
  }

  protocol(): void {
    const version = this.unsigned(1);
    if (version < 2 || version > 5) this.#fail(`protocol ${version}, expected 2 to 5`);
  }
}

const tuple =
  (size: number) =>
  (m: Machine): void => {
    const items = Array.from({ length: size }, () => m.pop()).toReversed();
    m.push(m.list(items));
  };

/** Opcodes of Python's pickletools by their byte. What is not here is refused. */
const OPERATIONS = new Map<number, (m: Machine) => void>([
  [0x80, (m) => m.protocol()],
  // FRAME: the length of what follows says nothing that is needed.
  [0x95, (m) => void m.unsigned(8)],
  [0x28, (m) => m.mark()],
  [0x30, (m) => void m.pop()],
  [0x31, (m) => void m.popMark()],
  [0x32, (m) => m.push(m.top())],
  [0x4e, (m) => m.push(null)],
  [0x88, (m) => m.push(true)],
  [0x89, (m) => m.push(false)],
  [0x4b, (m) => m.push(m.unsigned(1))],
  [0x4d, (m) => m.push(m.unsigned(2))],
  [0x4a, (m) => m.push(m.int32())],
  [0x8a, (m) => m.push(m.long(m.unsigned(1)))],
  [0x8b, (m) => m.push(m.long(m.unsigned(4)))],
  [0x47, (m) => m.push(m.float64())],
  [0x8c, (m) => m.push(m.text(m.unsigned(1)))],
  [0x58, (m) => m.push(m.text(m.unsigned(4)))],
  [0x8d, (m) => m.push(m.text(m.unsigned(8)))],
  [0x43, (m) => m.push(m.raw(m.unsigned(1)))],
  [0x42, (m) => m.push(m.raw(m.unsigned(4)))],
  [0x8e, (m) => m.push(m.raw(m.unsigned(8)))],
  [0x96, (m) => m.push(m.raw(m.unsigned(8)))],
  [0x5d, (m) => m.push(new PickledList())],
  [0x6c, (m) => m.push(m.list(m.popMark()))],
  [0x61, (m) => m.extend([m.pop()])],
  [0x65, (m) => m.extend(m.popMark())],
  [0x29, tuple(0)],
  [0x85, tuple(1)],
  [0x86, tuple(2)],
  [0x87, tuple(3)],
  [0x74, (m) => m.push(m.list(m.popMark()))],
  [0x7d, (m) => m.push(new PickledDict())],
  [
    0x64,
    (m) => {
      const items = m.popMark();
      m.push(new PickledDict());
      m.setItems(items);
    },
  ],
  [
    0x73,
    (m) => {
      const value = m.pop();
      m.setItems([m.pop(), value]);
    },
  ],
  [0x75, (m) => m.setItems(m.popMark())],
  // Sets, as lists.
  [0x8f, (m) => m.push(new PickledList())],
  [0x90, (m) => m.extend(m.popMark())],
  [0x91, (m) => m.push(m.list(m.popMark()))],
  [0x94, (m) => m.memoize()],
  [0x71, (m) => m.memoize(m.unsigned(1))],
  [0x72, (m) => m.memoize(m.unsigned(4))],
  [0x68, (m) => m.recall(m.unsigned(1))],
  [0x6a, (m) => m.recall(m.unsigned(4))],
  [
    0x63,
    (m) => {
      const module = m.line();
      m.global(module, m.line());
    },
  ],
  [
    0x93,
    (m) => {
      const attribute = m.pop();
      m.global(String(m.pop()), String(attribute));
    },
  ],
  [
    0x52,
    (m) => {
      const args = m.pop();
      m.make(m.pop(), args);
    },
  ],
  [
    0x81,
    (m) => {
      const args = m.pop();
      m.make(m.pop(), args);
    },
  ],
  [0x62, (m) => m.build()],
  [0x51, (m) => m.persistent()],
]);
