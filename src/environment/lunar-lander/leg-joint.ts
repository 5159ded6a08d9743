import { type Joint, RevoluteJoint, type RevoluteJointDef, type TimeStep } from "planck";

interface Vector2 {
  x: number;
  y: number;
}

interface Vector3 extends Vector2 {
  z: number;
}

/** What the solver keeps of a body during a step. */
interface SolverBody {
  readonly c_velocity: { readonly v: Vector2; w: number };
}

/** Fields of planck's `RevoluteJoint` in a step, which its types leave out. */
interface SolverJoint {
  readonly m_bodyA: SolverBody;
  readonly m_bodyB: SolverBody;
  readonly m_invMassA: number;
  readonly m_invMassB: number;
  readonly m_invIA: number;
  readonly m_invIB: number;
  /** From the centre of mass to the anchor. */
  readonly m_rA: Vector2;
  readonly m_rB: Vector2;
  /** Columns of the symmetric, positive definite matrix that takes an impulse (x, y, turn) to the speed it gives. */
  readonly m_mass: { readonly ex: Vector3; readonly ey: Vector3; readonly ez: Vector3 };
  readonly m_motorMass: number;
  readonly m_motorSpeed: number;
  readonly m_maxMotorTorque: number;
  readonly m_limitState: number;
  readonly m_impulse: Vector3;
  m_motorImpulse: number;
}

/** Values of `m_limitState`; the third one is "at the upper limit". */
const BETWEEN_LIMITS = 0;
const AT_LOWER_LIMIT = 1;

/**
 * A `RevoluteJoint` of planck with a velocity iteration of our own. A step does 180 of them for each leg, and planck's,
 * which allocates five to ten vectors, took two thirds of the step. The operations and their order are planck's, so all
 * results are too, bit for bit (test/environment/leg-joint.test.ts).
 * @param definition With motor and limits enabled, and limits that differ; both bodies can turn.
 */
export function legJoint(definition: RevoluteJointDef): Joint {
  const joint = new RevoluteJoint(definition);
  joint.solveVelocityConstraints = solveVelocityConstraints;
  return joint;
}

/** Source: Box2D 2.3, `b2RevoluteJoint::SolveVelocityConstraints`, as ported by planck 1.5.0. */
function solveVelocityConstraints(this: SolverJoint, step: TimeStep): void {
  const a = this.m_bodyA.c_velocity;
  const b = this.m_bodyB.c_velocity;
  const ra = this.m_rA;
  const rb = this.m_rB;

  const strongest = step.dt * this.m_maxMotorTorque;
  const before = this.m_motorImpulse;
  const wanted = before - this.m_motorMass * (b.w - a.w - this.m_motorSpeed);
  const motor = Math.min(Math.max(wanted, -strongest), strongest);
  this.m_motorImpulse = motor;
  const wa = a.w - this.m_invIA * (motor - before);
  const wb = b.w + this.m_invIB * (motor - before);

  // How fast the anchors part. planck adds to a 0, so that a -0 becomes 0.
  const x = 0 + (b.v.x - wb * rb.y) - (a.v.x - wa * ra.y);
  const y = 0 + (b.v.y + wb * rb.x) - (a.v.y + wa * ra.x);
  const { ex, ey, ez } = this.m_mass;
  const impulse = this.m_impulse;
  let pushX = 0;
  let pushY = 0;
  // Without a limit nothing turns: adding -0 leaves any number as it is, -0 too.
  let turn = -0;
  let goalX = -x;
  let goalY = -y;
  let free = this.m_limitState === BETWEEN_LIMITS;
  if (!free) {
    // Cramer's rule: stop the parting and the turning together.
    const z = wb - wa;
    const minorX = ey.y * ez.z - ey.z * ez.y;
    const minorY = ey.z * ez.x - ey.x * ez.z;
    const minorZ = ey.x * ez.y - ey.y * ez.x;
    const scale = 1 / (ex.x * minorX + ex.y * minorY + ex.z * minorZ);
    pushX = -(scale * (x * minorX + y * minorY + z * minorZ));
    pushY = -(scale * (ex.x * (y * ez.z - z * ez.y) + ex.y * (z * ez.x - x * ez.z) + ex.z * (x * ez.y - y * ez.x)));
    turn = -(scale * (ex.x * (ey.y * z - ey.z * y) + ex.y * (ey.z * x - ey.x * z) + ex.z * (ey.x * y - ey.y * x)));
    const held = impulse.z + turn;
    // A limit pushes one way only; if it would have to pull, it lets go.
    free = this.m_limitState === AT_LOWER_LIMIT ? held < 0 : held > 0;
    if (free) {
      goalX += impulse.z * ez.x;
      goalY += impulse.z * ez.y;
      turn = -impulse.z;
      impulse.z = 0;
    } else {
      impulse.z = held;
    }
  }
  if (free) {
    const scale = 1 / (ex.x * ey.y - ey.x * ex.y);
    pushX = scale * (ey.y * goalX - ey.x * goalY);
    pushY = scale * (ex.x * goalY - ex.y * goalX);
  }
  impulse.x += pushX;
  impulse.y += pushY;
  a.v.x -= this.m_invMassA * pushX;
  a.v.y -= this.m_invMassA * pushY;
  a.w = wa - this.m_invIA * (ra.x * pushY - ra.y * pushX + turn);
  b.v.x += this.m_invMassB * pushX;
  b.v.y += this.m_invMassB * pushY;
  b.w = wb + this.m_invIB * (rb.x * pushY - rb.y * pushX + turn);
}
