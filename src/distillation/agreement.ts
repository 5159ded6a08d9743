import { ShapeError } from "../errors.ts";
import { compileFixed } from "../evaluation/evaluate.ts";
import type { Divergence, Examination, Examiner, Purpose } from "../evaluation/examination.ts";
import { type Actions, actionsOf, greedyActions } from "../network/action.ts";
import {
  type AnyArchitecture,
  type Architecture,
  inputSize,
  outputSize,
  parameterCount,
} from "../network/architecture.ts";
import { forward } from "../network/forward.ts";
import type { BlackBox, Network } from "../network/policy.ts";
import type { Plain } from "../plain.ts";
import { input } from "../tensor/graph.ts";
import { Program } from "../tensor/program.ts";
import type { LabelledState } from "./dataset.ts";
import { gaussianKlOfRows, klOfRows, type Temperatures, temperatureOf } from "./loss.ts";

type Rows = Pick<LabelledState, "observations" | "labels">;

/** Observations that go through a network at once: more gain nothing and take memory, of images many times their own. */
const batchOf = (width: number, rows: number): number =>
  Math.min(rows, 1024, Math.max(1, Math.floor(4_000_000 / width)));

/** The teacher's outputs [rows, outputs] for [rows, observation size] observations. */
export async function label(teacher: Network | BlackBox, observations: Float32Array): Promise<Float32Array> {
  const { architecture } = teacher;
  const [width, outputs] = [inputSize(architecture), outputSize(architecture)];
  const rows = observations.length / width;
  const labels = shared(rows * outputs);
  const size = batchOf(width, rows);
  const program = await compileFixed(teacher, size);
  for (let first = 0; first < rows; first += size) {
    const counted = Math.min(size, rows - first);
    program.floats("observations").set(observations.subarray(first * width, (first + counted) * width));
    await program.run();
    labels.set(program.floats("outputs").subarray(0, counted * outputs), first * outputs);
  }
  await program.dispose();
  return labels;
}

/** Zeros in memory that threads share: as many observations as there may be are not copied for each. */
function shared(length: number): Float32Array {
  return new Float32Array(new SharedArrayBuffer(4 * length));
}

/** What a network's outputs mean. */
type Acts = Pick<AnyArchitecture, "head" | "gaussian">;

/** What student and teacher do on a batch of labelled observations. */
interface Compared {
  /** Rows that count; those behind them are left from an earlier batch. */
  readonly rows: number;
  /** Greedy actions of the student and of the teacher. */
  readonly actions: Actions;
  readonly taught: Actions;
  /** KL of each row, or nothing where the two have different deviations or bounds. */
  readonly kl: Float32Array | undefined;
}

/** A student's network beside its teacher's labels, compiled for batches. */
class Comparison {
  readonly #program: Program;
  readonly #student: Architecture;
  readonly #teacher: Acts;
  readonly #batch: number;
  readonly #hasKl: boolean;

  private constructor(program: Program, student: Architecture, teacher: Acts, batch: number, hasKl: boolean) {
    this.#program = program;
    this.#student = student;
    this.#teacher = teacher;
    this.#batch = batch;
    this.#hasKl = hasKl;
  }

  /** `temperatures`: for the KL, which is left out without them. */
  static async compile(
    student: Architecture,
    teacher: Acts,
    batch: number,
    temperatures?: Temperatures,
  ): Promise<Comparison> {
    const parameters = input([parameterCount(student)]);
    const observations = input([batch, inputSize(student)]);
    const labels = input([batch, outputSize(student)]);
    const outputs = forward(student, parameters, observations);
    const actions = greedyActions(student, outputs);
    const taught = greedyActions(teacher, labels);
    const { gaussian, head } = teacher;
    const comparable = JSON.stringify(gaussian) === JSON.stringify(student.gaussian);
    const kl =
      temperatures === undefined || !comparable
        ? undefined
        : gaussian === undefined
          ? klOfRows(labels, outputs, temperatureOf(head, temperatures))
          : gaussianKlOfRows(labels, outputs, gaussian);
    const program = await Program.compile({
      inputs: { parameters, observations, labels },
      outputs: { actions, taught, ...(kl && { kl }) },
    });
    return new Comparison(program, student, teacher, batch, kl !== undefined);
  }

  /** Compares on rows `first` to `last` - 1, batch by batch. */
  async run(
    parameters: Float32Array,
    { observations, labels }: Rows,
    first: number,
    last: number,
    visit: (compared: Compared, from: number) => void,
  ): Promise<void> {
    const program = this.#program;
    const [width, outputs] = [inputSize(this.#student), outputSize(this.#student)];
    program.bind("parameters", parameters);
    for (let from = first; from < last; from += this.#batch) {
      const rows = Math.min(this.#batch, last - from);
      program.floats("observations").set(observations.subarray(from * width, (from + rows) * width));
      program.floats("labels").set(labels.subarray(from * outputs, (from + rows) * outputs));
      await program.run();
      const compared = {
        rows,
        actions: actionsOf(this.#student, program),
        taught: this.#teacher.gaussian === undefined ? program.ints("taught") : program.floats("taught"),
        kl: this.#hasKl ? program.floats("kl") : undefined,
      };
      visit(compared, from);
    }
  }

  dispose(): Promise<void> {
    return this.#program.dispose();
  }
}

/** Distance of two continuous actions in one dimension, in ranges of the teacher's action. */
function distanceOf({ actions, taught }: Compared, { gaussian }: Acts, at: number): number {
  const d = at % gaussian!.low.length;
  return Math.abs(taught[at]! - actions[at]!) / (gaussian!.high[d]! - gaussian!.low[d]!);
}

/**
 * How far student and teacher agree on labelled states: the share of states on which their greedy actions are the same; for
 * continuous actions 1 less the mean distance between them, in ranges of the action.
 */
export async function agreementOf(
  architecture: Architecture,
  parameters: Float32Array,
  states: LabelledState,
): Promise<number> {
  const outputs = outputSize(architecture);
  const rows = states.labels.length / outputs;
  const comparison = await Comparison.compile(architecture, architecture, batchOf(inputSize(architecture), rows));
  let agreed = 0;
  let distance = 0;
  await comparison.run(parameters, states, 0, rows, (compared) => {
    if (architecture.gaussian) {
      for (let i = 0; i < compared.rows * outputs; i++) distance += distanceOf(compared, architecture, i);
    } else {
      for (let row = 0; row < compared.rows; row++) if (compared.actions[row] === compared.taught[row]) agreed++;
    }
  });
  await comparison.dispose();
  return architecture.gaussian ? 1 - distance / (rows * outputs) : agreed / rows;
}

/** Labelled observations in units (episodes, or blocks of neighbours), one behind the other. */
export interface LabelledUnits {
  readonly [key: string]: Plain;
  /** [rows, observation size] */
  readonly observations: Float32Array;
  /** [rows, outputs] */
  readonly labels: Float32Array;
  /** [units + 1] first row of each unit, and the number of rows. */
  readonly starts: Int32Array;
}

/** What policies are held against, and when two actions count as the same. */
export interface AgreementContext {
  readonly teacher: Acts;
  readonly parts: Readonly<Record<"selection" | "proof", LabelledUnits>>;
  /** Of continuous actions: the greatest distance in any dimension, in ranges of the action. */
  readonly tolerance: number;
  readonly temperatures: Temperatures;
}

/**
 * Policies are tried by their agreement with the teacher on logged observations: of each unit the share of observations on
 * which the greedy actions are the same, or no further apart than the tolerance in any dimension. A unit counts once however
 * long it is, so that bounds treat what belongs together as one draw. Nothing is played.
 */
export class AgreementExamination implements Examination {
  readonly makeLanes = null;
  readonly acting = "greedy";
  readonly #context: AgreementContext;

  constructor(context: AgreementContext) {
    this.#context = context;
  }

  /** All that there are. */
  units(purpose: Purpose): number {
    return this.#part(purpose).starts.length - 1;
  }

  #part(purpose: Purpose): LabelledUnits {
    const { selection, proof } = this.#context.parts;
    return purpose === "gate" || purpose === "selection" ? selection : proof;
  }

  async examiner(player: Architecture | BlackBox, purpose: Purpose): Promise<Examiner> {
    if ("model" in player) {
      // A black box is the teacher itself, which gave the labels.
      return {
        measure: (_, _set, count) => Promise.resolve(new Float64Array(count).fill(1)),
        dispose: () => Promise.resolve(),
      };
    }
    const architecture = player;
    const { teacher, tolerance } = this.#context;
    const part = this.#part(purpose);
    const { starts } = part;
    const outputs = outputSize(architecture);
    const comparison = await Comparison.compile(
      architecture,
      teacher,
      batchOf(inputSize(architecture), starts.at(-1)!),
    );
    const agrees = (compared: Compared, row: number): boolean => {
      if (!teacher.gaussian) return compared.actions[row] === compared.taught[row];
      for (let i = row * outputs; i < (row + 1) * outputs; i++) {
        if (distanceOf(compared, teacher, i) > tolerance) return false;
      }
      return true;
    };
    return {
      measure: async (parameters, _set, count, _acting, first = 0) => {
        if (parameters === null) throw new ShapeError("agreement", "a network is measured with its parameters");
        const agreed = new Float64Array(count);
        let unit = first;
        await comparison.run(parameters, part, starts[first]!, starts[first + count]!, (compared, from) => {
          for (let row = 0; row < compared.rows; row++) {
            while (starts[unit + 1]! <= from + row) unit++;
            if (agrees(compared, row)) agreed[unit - first]!++;
          }
        });
        return agreed.map((hits, k) => hits / (starts[first + k + 1]! - starts[first + k]!));
      },
      dispose: () => comparison.dispose(),
    };
  }

  /** Means over all observations of the proof. */
  readonly divergence = async ({ architecture, parameters }: Network): Promise<Divergence> => {
    const { teacher, parts, temperatures } = this.#context;
    const { proof } = parts;
    const rows = proof.starts.at(-1)!;
    const outputs = outputSize(architecture);
    const comparison = await Comparison.compile(
      architecture,
      teacher,
      batchOf(inputSize(architecture), rows),
      temperatures,
    );
    const sums: number[] = [];
    let squares = 0;
    await comparison.run(parameters, proof, 0, rows, (compared) => {
      if (compared.kl) sums.push(compared.kl.subarray(0, compared.rows).reduce((total, x) => total + x, 0));
      if (!teacher.gaussian) return;
      for (let i = 0; i < compared.rows * outputs; i++) squares += distanceOf(compared, teacher, i) ** 2;
    });
    await comparison.dispose();
    return {
      ...(sums.length > 0 && { kl: sums.reduce((total, x) => total + x, 0) / rows }),
      ...(teacher.gaussian && { squaredError: squares / (rows * outputs) }),
    };
  };
}
