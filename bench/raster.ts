import type { Color, Surface } from "../src/environment/surface.ts";

/** Pixels to draw on, and rows of RGBA that hold them. */
export class Raster implements Surface {
  readonly width: number;
  readonly height: number;
  readonly pixels: Uint8ClampedArray<ArrayBuffer>;

  constructor(width: number, height: number) {
    this.width = width;
    this.height = height;
    this.pixels = new Uint8ClampedArray(4 * width * height);
  }

  clear(color: Color): void {
    this.polygon([0, 0, this.width, 0, this.width, this.height, 0, this.height], color);
  }

  /** Fills the pixels whose centre is inside, by the even-odd rule. */
  polygon(points: readonly number[], fill: Color): void {
    const corners = Array.from({ length: points.length / 2 }, (_, i) => [points[2 * i]!, points[2 * i + 1]!] as const);
    const edges = corners.map((corner, i) => [corner, corners[(i + 1) % corners.length]!] as const);
    const heights = corners.map(([, y]) => y);
    const [first, last] = within(Math.min(...heights), Math.max(...heights), this.height);
    for (let row = first; row < last; row++) {
      const y = row + 0.5;
      const crossings = edges
        .filter(([[, a], [, b]]) => a <= y !== b <= y)
        .map(([[ax, ay], [bx, by]]) => ax + ((y - ay) / (by - ay)) * (bx - ax))
        .sort((a, b) => a - b);
      for (let i = 0; i + 1 < crossings.length; i += 2) this.#fill(row, crossings[i]!, crossings[i + 1]!, fill);
    }
  }

  circle(x: number, y: number, radius: number, fill: Color): void {
    const [first, last] = within(y - radius, y + radius, this.height);
    for (let row = first; row < last; row++) {
      const half = Math.sqrt(radius ** 2 - (row + 0.5 - y) ** 2);
      this.#fill(row, x - half, x + half, fill);
    }
  }

  line(x0: number, y0: number, x1: number, y1: number, color: Color, width: number): void {
    const scale = width / 2 / Math.hypot(x1 - x0, y1 - y0);
    const [u, v] = [(y1 - y0) * scale, (x0 - x1) * scale];
    this.polygon([x0 + u, y0 + v, x1 + u, y1 + v, x1 - u, y1 - v, x0 - u, y0 - v], color);
  }

  #fill(row: number, from: number, to: number, color: Color): void {
    const [first, last] = within(from, to, this.width);
    const rgb = [1, 3, 5].map((at) => Number.parseInt(color.slice(at, at + 2), 16));
    for (let x = first; x < last; x++) this.pixels.set([...rgb, 255], 4 * (row * this.width + x));
  }

  /** Puts another picture here, `factor` times smaller: means of squares, which smooth its edges. */
  place(picture: Raster, left: number, factor: number): void {
    const [width, height] = [picture.width / factor, picture.height / factor];
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        for (let channel = 0; channel < 4; channel++) {
          let sum = 0;
          for (let part = 0; part < factor ** 2; part++) {
            const row = y * factor + Math.floor(part / factor);
            sum += picture.pixels[4 * (row * picture.width + x * factor + (part % factor)) + channel]!;
          }
          this.pixels[4 * (y * this.width + left + x) + channel] = sum / factor ** 2;
        }
      }
    }
  }
}

/** The whole numbers from which and up to which pixels have their centre in a range of a picture `size` long. */
function within(from: number, to: number, size: number): [first: number, last: number] {
  return [Math.max(0, Math.ceil(from - 0.5)), Math.min(size, Math.ceil(to - 0.5))];
}
