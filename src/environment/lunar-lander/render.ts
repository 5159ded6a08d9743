import type { Body } from "planck";
import type { Color, Surface } from "../surface.ts";
import {
  type Craft,
  HEIGHT,
  LANDER_CORNERS,
  LEG_HALF_HEIGHT,
  LEG_HALF_WIDTH,
  PAD,
  PAD_HEIGHT,
  SCALE,
  WIDTH,
} from "./craft.ts";
import type { Thrust } from "./flight.ts";

const MOON = "#ffffff";
const SKY = "#000000";
const CRAFT = "#8066e6";
const FLAG = "#cccc00";
const FLAME = "#ff9933";

const LANDER_POLYGON = LANDER_CORNERS.map((pixels) => pixels / SCALE);
const LEG_POLYGON = [
  ...[-LEG_HALF_WIDTH, -LEG_HALF_HEIGHT],
  ...[LEG_HALF_WIDTH, -LEG_HALF_HEIGHT],
  ...[LEG_HALF_WIDTH, LEG_HALF_HEIGHT],
  ...[-LEG_HALF_WIDTH, LEG_HALF_HEIGHT],
];

/** The width of the surface shows Gymnasium's 20 m; at 600 x 400 the picture is Gymnasium's, flames for particles. */
export function renderFlight(surface: Surface, { terrain, lander, legs }: Craft, thrust: Thrust): void {
  const scale = surface.width / WIDTH;
  /** Pixels of a polygon in metres, y upwards. */
  const onSurface = (points: readonly number[]): number[] =>
    points.map((value, index) => (index % 2 === 0 ? value * scale : surface.height - value * scale));
  const fill = (body: Body, points: readonly number[], color: Color): void => {
    const { x, y } = body.getPosition();
    const cos = Math.cos(body.getAngle());
    const sin = Math.sin(body.getAngle());
    const placed: number[] = [];
    for (let corner = 0; corner < points.length; corner += 2) {
      const u = points[corner]!;
      const v = points[corner + 1]!;
      placed.push(x + u * cos - v * sin, y + u * sin + v * cos);
    }
    surface.polygon(onSurface(placed), color);
  };

  surface.clear(MOON);
  const top = Math.max(HEIGHT, surface.height / scale);
  surface.polygon(onSurface([0, top, ...terrain.flat(), WIDTH, top]), SKY);
  if (thrust.main > 0) {
    const length = 0.5 + 0.7 * thrust.main;
    fill(lander, [-0.2, -10 / SCALE, 0.2, -10 / SCALE, 0, -10 / SCALE - length], FLAME);
  }
  if (thrust.side !== 0) {
    // The left engine blows to the left.
    const direction = Math.sign(thrust.side);
    const nozzle = (direction * 17) / SCALE;
    const end = nozzle + direction * (0.2 + 0.4 * Math.abs(thrust.side));
    fill(lander, [nozzle, 0.3, nozzle, 0.5, end, 0.4], FLAME);
  }
  for (const leg of legs) fill(leg, LEG_POLYGON, CRAFT);
  fill(lander, LANDER_POLYGON, CRAFT);
  for (const point of PAD) {
    const x = terrain[point]![0];
    const y = PAD_HEIGHT + 50 / SCALE;
    const [poleX, foot, , tip] = onSurface([x, PAD_HEIGHT, x, y]) as [number, number, number, number];
    surface.line(poleX, foot, poleX, tip, MOON, 1);
    surface.polygon(onSurface([x, y, x, y - 10 / SCALE, x + 25 / SCALE, y - 5 / SCALE]), FLAG);
  }
}
