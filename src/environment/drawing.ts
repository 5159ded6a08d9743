import type { Color, Surface } from "./surface.ts";

/** Edges of a rectangle relative to its pivot, y upwards. */
export interface Rectangle {
  readonly left: number;
  readonly right: number;
  readonly bottom: number;
  readonly top: number;
}

/**
 * Fills a rectangle that is turned counter-clockwise by `angle` (rad) about its pivot. `x` and `y` are the pivot in pixels
 * from the BOTTOM left, y upwards: the picture of physics, not of screens.
 */
export function drawRectangle(
  surface: Surface,
  x: number,
  y: number,
  angle: number,
  { left, right, bottom, top }: Rectangle,
  color: Color,
): void {
  const cos = Math.cos(angle);
  const sin = Math.sin(angle);
  const points: number[] = [];
  for (const [u, v] of [
    [left, bottom],
    [left, top],
    [right, top],
    [right, bottom],
  ] as const) {
    points.push(x + u * cos - v * sin, surface.height - (y + u * sin + v * cos));
  }
  surface.polygon(points, color);
}
