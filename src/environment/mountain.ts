import { drawRectangle } from "./drawing.ts";
import type { Surface } from "./surface.ts";

/** Ends of the road of both MountainCar tasks. */
export const LEFT = -1.2;
export const RIGHT = 0.6;
export const MAX_SPEED = 0.07;

/** Height of the road, for drawing. */
function height(position: number): number {
  return Math.sin(3 * position) * 0.45 + 0.55;
}

/** The car at `position` on its road, the flag at `goal`. The whole road fills the width; at 600 x 400 every length is Gymnasium's. */
export function drawMountain(surface: Surface, position: number, goal: number): void {
  const scale = surface.width / (RIGHT - LEFT);
  const pixel = surface.width / 600;
  const across = (place: number): number => (place - LEFT) * scale;
  const up = (place: number): number => height(place) * scale;
  surface.clear("#ffffff");
  for (let piece = 0; piece < 100; piece++) {
    const [from, to] = [piece, piece + 1].map((end) => LEFT + ((RIGHT - LEFT) * end) / 100) as [number, number];
    surface.line(across(from), surface.height - up(from), across(to), surface.height - up(to), "#000000", 1);
  }
  const slope = Math.cos(3 * position);
  const x = across(position);
  const y = up(position) + 10 * pixel;
  const body = { left: -20 * pixel, right: 20 * pixel, bottom: 0, top: 20 * pixel };
  drawRectangle(surface, x, y, slope, body, "#000000");
  for (const wheel of [-10 * pixel, 10 * pixel]) {
    const wheelY = y + wheel * Math.sin(slope);
    surface.circle(x + wheel * Math.cos(slope), surface.height - wheelY, 8 * pixel, "#808080");
  }
  const pole = across(goal);
  const foot = surface.height - up(goal);
  const top = foot - 50 * pixel;
  surface.line(pole, foot, pole, top, "#000000", 1);
  surface.polygon([pole, top, pole, top + 10 * pixel, pole + 25 * pixel, top + 5 * pixel], "#cccc00");
}
