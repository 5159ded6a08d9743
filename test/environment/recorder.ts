import type { Color, Surface } from "../../src/environment/surface.ts";

export interface Shape {
  readonly kind: "polygon" | "circle" | "line";
  readonly color: Color;
  readonly numbers: readonly number[];
}

/** Remembers what was drawn. */
export class Recorder implements Surface {
  readonly width = 600;
  readonly height = 400;
  readonly shapes: Shape[] = [];
  cleared: Color | undefined;
  clear(color: Color): void {
    this.cleared = color;
  }
  polygon(numbers: readonly number[], color: Color): void {
    this.shapes.push({ kind: "polygon", color, numbers });
  }
  circle(x: number, y: number, radius: number, color: Color): void {
    this.shapes.push({ kind: "circle", color, numbers: [x, y, radius] });
  }
  line(x0: number, y0: number, x1: number, y1: number, color: Color, width: number): void {
    this.shapes.push({ kind: "line", color, numbers: [x0, y0, x1, y1, width] });
  }
}
