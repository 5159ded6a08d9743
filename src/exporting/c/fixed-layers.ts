import { type FixedPoint, TANH, tanhTable } from "../../quantization/fixed-point.ts";
import type { CodedLayer } from "./layer.ts";
import { constants } from "./text.ts";

/** C type of what a layer puts out. */
function typeOf({ activation }: FixedPoint["layers"][number], last: boolean): string {
  if (last) return "int32_t";
  return activation === "relu" ? "uint16_t" : "int16_t";
}

/** Layers in whole numbers. */
export function fixedLayers(fixed: FixedPoint, prefix: string): CodedLayer[] {
  const { bits, bytes, layers } = fixed;
  let from = bytes ? "uint8_t" : "int16_t";
  return layers.map((layer, l): CodedLayer => {
    const { name, inputs, outputs, positions, window, weights, biases, preShift, scaling, zero } = layer;
    const to = typeOf(layer, l === layers.length - 1);
    const sum = preShift > 0 ? "int64_t" : "int32_t";
    const finish = (total: string, unit: string): string => {
      const narrow = preShift > 0 ? `(${total} + ${2 ** (preShift - 1)}) >> ${preShift}` : total;
      if (scaling === undefined) {
        const value = preShift > 0 ? `(int32_t)(${narrow})` : narrow;
        return layer.activation === "relu" ? `${value} < 0 ? 0 : ${value}` : value;
      }
      const { shift, low, high } = scaling;
      const scaled = `${prefix}_scale(${narrow}, ${prefix}_${name}_multipliers[${unit}], ${shift}, ${low}, ${high})`;
      const value = layer.activation === "tanh" ? `${prefix}_tanh(${scaled})` : scaled;
      return to === "int32_t" ? value : `(${to})${value}`;
    };
    const coded: CodedLayer = {
      name,
      inputs,
      outputs,
      positions,
      ...(window && { window }),
      weights,
      biases,
      types: { from, weight: `int${bits}_t`, sum, to },
      literal: String,
      sumLiteral: String,
      input: (read) => (zero === 0 ? read : `(int32_t)${read} - ${zero}`),
      patch: zero === 0 ? from : "int32_t",
      factor: (read) => `(${sum})${read}`,
      finish,
      vectors: false,
    };
    from = to;
    return coded;
  });
}

/** What the layers call, and their multipliers. */
export function fixedHelpers(fixed: FixedPoint, prefix: string): string {
  const { bits, layers } = fixed;
  const scaled = layers.flatMap(({ name, scaling }) => (scaling ? [{ name, scaling }] : []));
  if (scaled.length === 0) return "";
  const multipliers = scaled.map(({ name, scaling }) =>
    constants("int32_t", `${prefix}_${name}_multipliers`, Array.from(scaling.multipliers, String)),
  );
  const scale = `/* A sum times a multiplier, without the bits behind the point, rounded, within limits. */
static int32_t ${prefix}_scale(int64_t sum, int32_t multiplier, int shift, int32_t low, int32_t high)
{
  const int64_t value = (sum * multiplier + ((int64_t)1 << (shift - 1))) >> shift;
  return value < low ? low : value > high ? high : (int32_t)value;
}
`;
  const tanh = layers.some(({ activation }) => activation === "tanh") ? tanhHelper(bits, prefix) : "";
  return [...multipliers, scale, tanh].join("\n");
}

function tanhHelper(bits: FixedPoint["bits"], prefix: string): string {
  const { parts } = TANH[bits];
  return `${constants("int16_t", `${prefix}_tanh_table`, tanhTable(bits).map(String))}
/* tanh from its table, between whose entries lie ${parts} parts. */
static int32_t ${prefix}_tanh(int32_t argument)
{
  const int32_t size = argument < 0 ? -argument : argument;
  const int16_t *const entry = ${prefix}_tanh_table + size / ${parts};
  const int32_t value = entry[0] + ((entry[1] - entry[0]) * (size % ${parts}) + ${parts / 2}) / ${parts};
  return argument < 0 ? -value : value;
}
`;
}
