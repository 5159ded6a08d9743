import { UsageError } from "../errors.ts";
import {
  type Architecture,
  architectureSchema,
  countsOf,
  describe,
  type HiddenLayers,
  hiddenWidths,
  layersOf,
  OF_PIXELS,
  outputSize,
  turnedImages,
} from "../network/architecture.ts";
import type { BlackBox, Network } from "../network/policy.ts";
import { withHidden } from "../shrinking/resize.ts";
import type { PopsOptions } from "./options.ts";

/** Where nothing else is said: widths that solve the classic tasks, and for images the network of Mnih et al. (2013). */
const USUAL = { hidden: [64, 64] };
const USUAL_OF_IMAGES = {
  convolutions: [
    { filters: 16, kernel: 8, stride: 4 },
    { filters: 32, kernel: 4, stride: 2 },
  ],
  hidden: [256],
};

/** Convolutions where the observations are images for them. */
const studentSchema = architectureSchema.superRefine((architecture, context) => {
  const turned = turnedImages(architecture);
  if (turned !== undefined) context.addIssue({ code: "custom", path: ["layers"], message: turned });
});

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
  const make = (layers: Omit<HiddenLayers, "activation">) =>
    studentSchema.safeParse({
      ...ends(teacher),
      layers: layersOf({ ...layers, activation }, outputSize(teacher.architecture)),
    });
  if (wanted) {
    const made = make({ convolutions, hidden: hidden ?? [] });
    if (!made.success) throw new UsageError("pops.student", made.error.issues[0]?.message ?? "is no network");
    const { data } = made;
    if (countsOf(data).weights < weights) return data;
    throw new UsageError(
      "pops.student",
      `${describe(data)} has ${countsOf(data).weights} weights, the teacher ${weights}: a student has to be smaller`,
    );
  }
  let network = make(USUAL_OF_IMAGES).data ?? make(USUAL).data;
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
  const normalization = architecture.normalization ?? (bytes ? OF_PIXELS : undefined);
  return { input, head, ...(normalization && { normalization }), ...(gaussian && { gaussian }) };
}
