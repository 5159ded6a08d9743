import fc from "fast-check";
import { expect, it } from "vitest";
import { Craft } from "../../src/environment/lunar-lander/craft.ts";

/** Gives both joints of the legs planck's own velocity iteration back. */
function withPlancks(craft: Craft): Craft {
  let joint = craft.lander.getWorld().getJointList();
  while (joint !== null) {
    expect(Reflect.deleteProperty(joint, "solveVelocityConstraints")).toBe(true);
    expect("solveVelocityConstraints" in joint).toBe(true);
    joint = joint.getNext();
  }
  return craft;
}

/** All that moves, and what the joints bear. */
function snapshot({ lander, legs, grounded, touched }: Craft): number[] {
  const bodies = [lander, ...legs].flatMap((body) => {
    const position = body.getPosition();
    const velocity = body.getLinearVelocity();
    return [position.x, position.y, body.getAngle(), velocity.x, velocity.y, body.getAngularVelocity()];
  });
  const joints = legs.flatMap((leg) => {
    const joint = leg.getJointList()!.joint!;
    const force = joint.getReactionForce(1);
    return [force.x, force.y, joint.getReactionTorque(1)];
  });
  return [...bodies, ...joints, ...[...grounded, touched, lander.isAwake()].map(Number)];
}

const component = fc.double({ min: -1, max: 1, noNaN: true });
const push = fc.record({ x: component, y: component, spin: component, leg: component });

it("moves lander and legs as planck's own joint does, bit for bit", () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 0, max: 7, noNaN: true }), { minLength: 12, maxLength: 12 }),
      fc.tuple(component, component),
      fc.array(push, { minLength: 1, maxLength: 8 }),
      (heights, [forceX, forceY], pushes) => {
        const start = [1000 * forceX, 1000 * forceY] as const;
        const ours = new Craft(-10, heights, start);
        const plancks = withPlancks(new Craft(-10, heights, start));
        const play = (craft: Craft): number[] => {
          const outcome: number[] = [];
          for (let step = 0; step < 160; step++) {
            const { x, y, spin, leg } = pushes[step % pushes.length]!;
            craft.lander.applyLinearImpulse({ x, y }, craft.lander.getPosition(), true);
            craft.lander.applyAngularImpulse(spin / 4, true);
            // Strong enough to tear a leg off its limit.
            if (step % 5 === 0) craft.legs[step % 2]!.applyAngularImpulse(leg / 10, true);
            craft.advance();
            outcome.push(...snapshot(craft));
          }
          return outcome;
        };
        expect(play(ours)).toEqual(play(plancks));
      },
    ),
    { numRuns: 40 },
  );
});

it("lets a craft without any push fall and land as planck's own joint does", () => {
  const ours = new Craft(-10, Array<number>(12).fill(3), [0, 0]);
  const plancks = withPlancks(new Craft(-10, Array<number>(12).fill(3), [0, 0]));
  for (let step = 0; step < 300; step++) {
    ours.advance();
    plancks.advance();
    expect(snapshot(ours)).toEqual(snapshot(plancks));
  }
});
