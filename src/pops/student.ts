import { UsageError } from "../errors.ts";
import {
  type Architecture,
  architectureSchema,
  countsOf,
  describe,
  hiddenWidths,
  type Layer,
  outputSize,
} from "../network/architecture.ts";
import type { BlackBox, Network } from "../network/policy.ts";
import { withHidden } from "../shrinking/resize.ts";
import type { PopsOptions } from "./options.ts";

/** Where nothing else is said: widths that solve the classic tasks, and for images the network of Mnih et al. (2013). */
const USUAL = { hidden: [64, 64], images: { convolutions: [[16, 8, 4] as const, [32, 4, 2] as const], hidden: [256] } };

/**
 * The network that a compression begins with: `null` for a copy of the teacher; else a student that the teacher teaches first,
 * because the settings want one or the teacher is a black box, of which there is no copy to prune.
 *
 * @throws UsageError when no student, or not the one that the settings want, has fewer weights than the teacher
 */
export function firstStudent(teacher: Network | BlackBox, { student }: PopsOptions): Architecture | null {
  const { convolutions, hidden, activation } = student;
  const wanted = hidden !== null || convolutions.length > 0;
  if (!wanted && "parameters" in teacher) return null;
  const { weights } = countsOf(teacher.architecture);
  const make = (images: readonly (readonly [number, number, number])[], widths: readonly number[]) =>
    architectureSchema.safeParse({
      ...ends(teacher),
      layers: [
        ...images.map(([units, kernel, stride]): Layer => {
          return { kind: "conv", units, kernel: [kernel, kernel], stride: [stride, stride], activation };
        }),
        ...widths.map((units): Layer => ({ kind: "dense", units, activation })),
        { kind: "dense", units: outputSize(teacher.architecture), activation: "none" },
      ],
    });
  if (wanted) {
    const given = convolutions.map(({ filters, kernel, stride }) => [filters, kernel, stride] as const);
    const made = make(given, hidden ?? []);
    if (!made.success) throw new UsageError("pops.student", made.error.issues[0]?.message ?? "is no network");
    const { data } = made;
    if (countsOf(data).weights < weights) return data;
    throw new UsageError(
      "pops.student",
      `${describe(data)} has ${countsOf(data).weights} weights, the teacher ${weights}: a student has to be smaller`,
    );
  }
  const images = make(USUAL.images.convolutions, USUAL.images.hidden).data;
  let network = images ?? make([], USUAL.hidden).data;
  while (network && countsOf(network).weights >= weights) network = halved(network);
  if (network) return network;
  throw new UsageError(
    "--teacher",
    `counts ${weights} weights: no network of layers has fewer for its inputs and outputs`,
  );
}

/** Half the units in each layer; once all have one, a layer less; `undefined` after the linear policy. */
function halved(network: Architecture): Architecture | undefined {
  const widths = hiddenWidths(network);
  if (widths.length === 0) return undefined;
  const smaller = widths.every((units) => units === 1)
    ? widths.slice(0, -1)
    : widths.map((units) => Math.max(1, Math.floor(units / 2)));
  return withHidden(network, smaller);
}

/** What goes in and comes out of a student of that teacher. */
function ends({ architecture }: Network | BlackBox): Omit<Architecture, "layers"> {
  const { input, head, gaussian } = architecture;
  const bytes = "model" in architecture && architecture.model.dtype === "uint8";
  const normalization = architecture.normalization ?? (bytes ? { mean: [0], deviation: [255] } : undefined);
  return { input, head, ...(normalization && { normalization }), ...(gaussian && { gaussian }) };
}
