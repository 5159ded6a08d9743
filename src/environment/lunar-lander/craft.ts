import { type Body, Box, Edge, Polygon, Vec2, World } from "planck";
import { legJoint } from "./leg-joint.ts";

/** Pixels of Gymnasium's 600 x 400 picture in a metre: its lengths are given in them. */
export const SCALE = 30;
/** Size of the picture in metres. */
export const WIDTH = 600 / SCALE;
export const HEIGHT = 400 / SCALE;
/** Heights that are drawn, one more than the points of the terrain. */
export const TERRAIN_DRAWS = 12;
const POINTS = 11;
/** Height of the landing pad's flags, and ends of the pad as numbers of points. */
export const PAD_HEIGHT = HEIGHT / 4;
export const PAD = [4, 6] as const;

/** Corners of the lander's body in its own frame, x0, y0, x1, y1, ... in pixels. */
export const LANDER_CORNERS = [-14, 17, -17, 0, -17, -10, 17, -10, 17, 0, 14, 17] as const;
/** Half extents of a leg (m). */
export const LEG_HALF_WIDTH = 2 / SCALE;
export const LEG_HALF_HEIGHT = 8 / SCALE;
/** Where a leg hangs: sideways and downwards from the lander's origin (m). */
const LEG_AWAY = 20 / SCALE;
export const LEG_DOWN = 18 / SCALE;
/** Angle of a leg to the lander at the start (rad). */
const LEG_TILT = 0.05;
const LEG_TORQUE = 40;

const TIME_STEP = 1 / 50;
const VELOCITY_ITERATIONS = 180;
const POSITION_ITERATIONS = 60;

/** The points of the terrain, left to right, out of `TERRAIN_DRAWS` heights (m). */
function terrainOf(heights: readonly number[]): [x: number, y: number][] {
  const levelled = heights.map((height, index) => (index >= 3 && index <= 7 ? PAD_HEIGHT : height));
  return Array.from({ length: POINTS }, (_, index) => {
    const left = levelled[(index + levelled.length - 1) % levelled.length]!;
    // 0.33, not a third: the ground of the pad lies at 0.99 of the height of its flags.
    return [(WIDTH / (POINTS - 1)) * index, 0.33 * (left + levelled[index]! + levelled[index + 1]!)];
  });
}

/**
 * The bodies of LunarLander in a physics world of their own: moon, lander, two legs on motorised joints.
 * planck is a port of Box2D 2.3, whose joint solver the task was made with; later versions of Box2D land differently.
 */
export class Craft {
  readonly terrain: readonly (readonly [x: number, y: number])[];
  readonly lander: Body;
  /** The leg placed right of the lander, then the one left of it. */
  readonly legs: readonly [Body, Body];
  /** Whether each leg counts as on the ground. Cleared when any contact of the leg ends, even if another one lasts. */
  readonly grounded: [boolean, boolean] = [false, false];
  /** Whether the lander's body has touched the ground. */
  touched = false;

  /**
   * @param heights `TERRAIN_DRAWS` heights of the terrain (m).
   * @param force First push on the lander (N).
   */
  constructor(gravity: number, heights: readonly number[], force: readonly [x: number, y: number]) {
    this.terrain = terrainOf(heights);
    const world = new World({ gravity: { x: 0, y: gravity } });
    const moon = world.createBody();
    moon.createFixture({ shape: new Edge(new Vec2(0, 0), new Vec2(WIDTH, 0)) });
    for (const [index, [x, y]] of this.terrain.entries()) {
      const next = this.terrain[index + 1];
      if (next === undefined) break;
      moon.createFixture({ shape: new Edge(new Vec2(x, y), new Vec2(next[0], next[1])), density: 0, friction: 0.1 });
    }
    this.lander = world.createBody({ type: "dynamic", position: { x: WIDTH / 2, y: HEIGHT } });
    const corners = Array.from(
      { length: LANDER_CORNERS.length / 2 },
      (_, corner) => new Vec2(LANDER_CORNERS[2 * corner]! / SCALE, LANDER_CORNERS[2 * corner + 1]! / SCALE),
    );
    this.lander.createFixture({
      shape: new Polygon(corners),
      density: 5,
      friction: 0.1,
      restitution: 0,
      filterCategoryBits: 0x0010,
      filterMaskBits: 0x0001,
    });
    this.lander.applyForceToCenter({ x: force[0], y: force[1] }, true);
    this.legs = [this.#leg(-1), this.#leg(1)];
    world.on("begin-contact", (contact) => {
      this.#contact(contact.getFixtureA().getBody(), contact.getFixtureB().getBody(), true);
    });
    world.on("end-contact", (contact) => {
      this.#contact(contact.getFixtureA().getBody(), contact.getFixtureB().getBody(), false);
    });
  }

  #leg(side: -1 | 1): Body {
    const leg = this.lander.getWorld().createBody({
      type: "dynamic",
      position: { x: WIDTH / 2 - side * LEG_AWAY, y: HEIGHT },
      angle: side * LEG_TILT,
    });
    leg.createFixture({
      shape: new Box(LEG_HALF_WIDTH, LEG_HALF_HEIGHT),
      density: 1,
      restitution: 0,
      filterCategoryBits: 0x0020,
      filterMaskBits: 0x0001,
    });
    this.lander.getWorld().createJoint(
      legJoint({
        bodyA: this.lander,
        bodyB: leg,
        localAnchorA: { x: 0, y: 0 },
        localAnchorB: { x: side * LEG_AWAY, y: LEG_DOWN },
        // pybox2d, below Gymnasium, takes the angle between the bodies at creation for 0, and so does planck by default.
        referenceAngle: side * LEG_TILT,
        enableMotor: true,
        enableLimit: true,
        maxMotorTorque: LEG_TORQUE,
        motorSpeed: 0.3 * side,
        lowerAngle: side < 0 ? 0.4 : -0.9,
        upperAngle: side < 0 ? 0.9 : -0.4,
      }),
    );
    return leg;
  }

  #contact(a: Body, b: Body, begins: boolean): void {
    if (begins && (a === this.lander || b === this.lander)) this.touched = true;
    for (const [index, leg] of this.legs.entries()) {
      if (a === leg || b === leg) this.grounded[index] = begins;
    }
  }

  /** Advances the world by 1/50 s. */
  advance(): void {
    this.lander.getWorld().step(TIME_STEP, VELOCITY_ITERATIONS, POSITION_ITERATIONS);
  }
}
