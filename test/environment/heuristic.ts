/** Gymnasium's controller of LunarLander: turns towards the pad, brakes by distance, only brakes once a leg is down. */
export function heuristic([x, y, velocityX, velocityY, angle, spin, left, right]: readonly number[]): number {
  const landed = left === 1 || right === 1;
  const wanted = Math.min(Math.max(0.5 * x! + velocityX!, -0.4), 0.4);
  const turn = landed ? 0 : 0.5 * (wanted - angle!) - spin!;
  const lift = landed ? -0.5 * velocityY! : 0.5 * (0.55 * Math.abs(x!) - y!) - 0.5 * velocityY!;
  if (lift > Math.abs(turn) && lift > 0.05) return 2;
  if (turn < -0.05) return 3;
  return turn > 0.05 ? 1 : 0;
}
