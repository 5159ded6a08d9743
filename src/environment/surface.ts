/** `#rrggbb`. */
export type Color = `#${string}`;

/**
 * What environments draw on: a canvas in the browser, SVG in a report, pixels in a recorder. Coordinates are pixels of a
 * `width` x `height` picture, origin at the top left, y downwards.
 */
export interface Surface {
  readonly width: number;
  readonly height: number;
  clear(color: Color): void;
  /** Closed polygon; `points` holds x0, y0, x1, y1, ... */
  polygon(points: readonly number[], fill: Color): void;
  circle(x: number, y: number, radius: number, fill: Color): void;
  line(x0: number, y0: number, x1: number, y1: number, color: Color, width: number): void;
}
