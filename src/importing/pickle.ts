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
  /** What to do about a name that is not allowed. */
  readonly hint?: string;
}

/** Operations of one pickle; real policies need thousands. One byte can make a dictionary of some 300, so this bounds memory. */
const MAX_STEPS = 500_000;
/** Bytes of a text, and of an integer: of real files a few hundred and 8. */
const MAX_TEXT = 2 ** 26;
const MAX_INTEGER = 64;
/** Marks that may be open at once. */
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
      if (code === 0x2e) return this.pop();
      const value = VALUES.get(code);
      const action = ACTIONS.get(code);
      if (value) this.#stack.push(value(this));
      else if (action) action(this);
      else if (at === 0)
        this.#fail(`it is no pickle${this.#options.hint === undefined ? "" : `: ${this.#options.hint}`}`, at);
      else this.#fail(`opcode 0x${code.toString(16)} is not allowed`, at);
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
    if (length > MAX_TEXT) this.#fail(`a text of ${length} bytes`);
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
    if (length > MAX_INTEGER) this.#fail(`an integer of ${length} bytes`);
    let value = 0n;
    for (const [i, byte] of this.raw(length).entries()) value |= BigInt(byte) << BigInt(8 * i);
    value = BigInt.asIntN(8 * length, value);
    return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  }

  pop(): Pickled {
    const value = this.#stack.pop();
    if (value === undefined || value === MARK) return this.#fail("takes a value that is not there");
    return value;
  }

  /** The last `count` values, in their order. */
  popItems(count: number): Pickled[] {
    return Array.from({ length: count }, () => this.pop()).toReversed();
  }

  top(): Pickled {
    const value = this.pop();
    this.#stack.push(value);
    return value;
  }

  mark(): number {
    if (++this.#marks > MAX_MARKS) this.#fail(`has more than ${MAX_MARKS} open marks`);
    return this.#stack.push(MARK);
  }

  /** All values above the last mark. */
  popMark(): Pickled[] {
    const from = this.#stack.lastIndexOf(MARK);
    if (from < 0) this.#fail("a mark is missing");
    const values = this.#stack.splice(from + 1).filter((value) => value !== MARK);
    this.#stack.pop();
    this.#marks--;
    return values;
  }

  extend(items: readonly Pickled[]): PickledList {
    const list = this.top();
    if (!(list instanceof PickledList)) return this.#fail("adds to what is no list");
    for (const item of items) list.items.push(item);
    return list;
  }

  setItems(items: readonly Pickled[]): PickledDict {
    const target = this.top();
    const dict = target instanceof PickledObject ? target.items : target;
    return dict instanceof PickledDict ? this.filled(dict, items) : this.#fail("sets items of what is no dictionary");
  }

  /** The dictionary with keys and values set that follow each other in `items`. */
  filled(dict: PickledDict, items: readonly Pickled[]): PickledDict {
    if (items.length % 2 !== 0) this.#fail("a key has no value");
    for (let i = 0; i < items.length; i += 2) {
      const key = items[i]!;
      if (typeof key !== "string" && typeof key !== "number") this.#fail("a key is neither text nor a number");
      dict.entries.set(key, items[i + 1]!);
    }
    return dict;
  }

  memoize(index = this.#memo.size): Pickled {
    const value = this.top();
    this.#memo.set(index, value);
    return value;
  }

  recall(index: number): Pickled {
    const value = this.#memo.get(index);
    return value === undefined ? this.#fail(`nothing was kept as ${index}`) : value;
  }

  /** Of module and attribute. */
  global([module, attribute]: readonly Pickled[]): PickledGlobal {
    if (typeof module !== "string" || typeof attribute !== "string") return this.#fail("a name is no text");
    const name = `${module}.${attribute}`;
    if (!this.#options.allowed.has(name)) {
      const { hint = "it is no policy that PoPS reads" } = this.#options;
      this.#fail(`needs ${JSON.stringify(name.slice(0, 200))}, which is refused (nothing was executed): ${hint}`);
    }
    return new PickledGlobal(name);
  }

  /** Stands for a call of a class or function with arguments, which is not made. */
  made([callee, args]: readonly Pickled[]): PickledObject {
    if (!(callee instanceof PickledGlobal) || !(args instanceof PickledList))
      return this.#fail("calls what has no name");
    return new PickledObject(callee.name, args.items);
  }

  build(state: Pickled): PickledObject {
    const target = this.top();
    if (!(target instanceof PickledObject)) return this.#fail("gives a state to what is no object");
    target.state = state;
    return target;
  }

  persistent(id: Pickled): Pickled {
    const { persistent } = this.#options;
    if (persistent === undefined || !(id instanceof PickledList)) return this.#fail("refers to something outside");
    return persistent(id.items);
  }

  protocol(version: number): number {
    return version < 2 || version > 5 ? this.#fail(`protocol ${version}, expected 2 to 5`) : version;
  }
}

/** Opcodes of Python's pickletools that put one value on the stack, by their byte. */
const VALUES = new Map<number, (m: Machine) => Pickled>([
  [0x4e, () => null],
  [0x88, () => true],
  [0x89, () => false],
  [0x4b, (m) => m.unsigned(1)],
  [0x4d, (m) => m.unsigned(2)],
  [0x4a, (m) => m.int32()],
  [0x8a, (m) => m.long(m.unsigned(1))],
  [0x8b, (m) => m.long(m.unsigned(4))],
  [0x47, (m) => m.float64()],
  [0x8c, (m) => m.text(m.unsigned(1))],
  [0x58, (m) => m.text(m.unsigned(4))],
  [0x8d, (m) => m.text(m.unsigned(8))],
  [0x43, (m) => m.raw(m.unsigned(1))],
  [0x42, (m) => m.raw(m.unsigned(4))],
  [0x8e, (m) => m.raw(m.unsigned(8))],
  [0x96, (m) => m.raw(m.unsigned(8))],
  [0x5d, () => new PickledList()],
  [0x6c, (m) => listOf(m.popMark())],
  // Tuples.
  [0x29, () => new PickledList()],
  [0x85, (m) => listOf(m.popItems(1))],
  [0x86, (m) => listOf(m.popItems(2))],
  [0x87, (m) => listOf(m.popItems(3))],
  [0x74, (m) => listOf(m.popMark())],
  // Sets.
  [0x8f, () => new PickledList()],
  [0x91, (m) => listOf(m.popMark())],
  [0x7d, () => new PickledDict()],
  [0x64, (m) => m.filled(new PickledDict(), m.popMark())],
  [0x32, (m) => m.top()],
  [0x68, (m) => m.recall(m.unsigned(1))],
  [0x6a, (m) => m.recall(m.unsigned(4))],
  [0x63, (m) => m.global([m.line(), m.line()])],
  [0x93, (m) => m.global(m.popItems(2))],
  [0x52, (m) => m.made(m.popItems(2))],
  [0x81, (m) => m.made(m.popItems(2))],
  [0x51, (m) => m.persistent(m.pop())],
]);

/** The other opcodes. What is in neither table is refused. */
const ACTIONS = new Map<number, (m: Machine) => unknown>([
  [0x80, (m) => m.protocol(m.unsigned(1))],
  // FRAME: the length of what follows says nothing that is needed.
  [0x95, (m) => m.unsigned(8)],
  [0x28, (m) => m.mark()],
  [0x30, (m) => m.pop()],
  [0x31, (m) => m.popMark()],
  [0x61, (m) => m.extend(m.popItems(1))],
  [0x65, (m) => m.extend(m.popMark())],
  [0x90, (m) => m.extend(m.popMark())],
  [0x73, (m) => m.setItems(m.popItems(2))],
  [0x75, (m) => m.setItems(m.popMark())],
  [0x94, (m) => m.memoize()],
  [0x71, (m) => m.memoize(m.unsigned(1))],
  [0x72, (m) => m.memoize(m.unsigned(4))],
  [0x62, (m) => m.build(m.pop())],
]);

function listOf(items: readonly Pickled[]): PickledList {
  const list = new PickledList();
  for (const item of items) list.items.push(item);
  return list;
}
