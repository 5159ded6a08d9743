import { describe } from "../network/architecture.ts";
import type { AnyPolicy } from "../network/policy.ts";
import type { PopsOptions } from "../pops/options.ts";
import { firstStudent } from "../pops/student.ts";
import { integer } from "../report/format.ts";
import { printable } from "./terminal.ts";

/** What a user should know of a teacher before it is compressed: one text a line; none where there is nothing unusual. */
export function aboutTeacher(teacher: AnyPolicy, options: PopsOptions): string[] {
  const lines: string[] = [];
  const { architecture, environment, provenance } = teacher;
  if ("model" in architecture) {
    const student = firstStudent(teacher, options);
    const { nodes, weights, biases } = architecture.model;
    const why = provenance["blackBox"];
    lines.push(
      `The teacher is a black box${why === undefined ? "" : ` (${printable(why)})`}: ${integer(nodes)} nodes, run by ONNX Runtime as they are.`,
      "  It plays, and says for every state what it would do, but it has no layers that could be pruned: compression begins",
      `  with a student of ${student ? describe(student) : ""} that it teaches (another one: --set pops.student.hidden=...), and goes on from that.`,
      `  It counts as ${integer(weights)} weights: the numbers of its tensors of two or more dimensions. The others hold ${integer(biases)}.`,
    );
  }
  if (architecture.head === "q-values" && provenance["head"]?.endsWith("(guessed)")) {
    const other = environment === undefined ? "; if it is a continuous action, with --env ENVIRONMENT" : "";
    lines.push(
      `Its outputs were taken for Q-values (guessed): if they are logits, read its file with --head logits${other}.`,
    );
  }
  lines.push(...aboutInterface(teacher));
  return lines;
}

/** How the ONNX file of a policy is called, if it takes another one's place. */
export function aboutInterface({ interface: face }: AnyPolicy): string[] {
  if (face === undefined) return [];
  const value = ({ name, dtype, dims }: { name: string; dtype: string; dims?: readonly (number | string)[] }): string =>
    `${printable(name)} ${dtype}${dims === undefined ? "" : ` [${dims.map((dim) => (dim === "" ? "?" : printable(String(dim)))).join(", ")}]`}`;
  const taken = face.normalized ? `normalised ${value(face.input)}` : value(face.input);
  const left = face.leftOut.map(printable).join(", ");
  return [
    `In ONNX: ${taken} to ${face.outputs.map(value).join(", ")}, as the model that it comes from${left === "" ? "" : `, without ${left}`}.`,
  ];
}
