/** Numbers as readers expect them: grouped digits, a true minus sign, no more digits than carry meaning. */

const grouped = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

function withMinus(text: string): string {
  return text.replace("-", "\u2212");
}

/** `99,584` */
export function integer(value: number): string {
  return withMinus(grouped.format(value));
}

/** At most `digits` significant digits, grouped, without trailing zeros: `0.0113`, `14.2`, `1,235`. */
export function significant(value: number, digits = 3): string {
  const size = Math.abs(value);
  if (value === 0) return "0";
  if (size < 1e-6 || size >= 1e12) return withMinus(value.toExponential(digits - 1));
  const decimals = Math.max(0, digits - 1 - Math.floor(Math.log10(size)));
  return withMinus(new Intl.NumberFormat("en-US", { maximumFractionDigits: decimals }).format(value));
}

/** A return: two decimals below 100, one from there on. The decimals are kept, so columns align. */
export function score(value: number): string {
  const decimals = Math.abs(value) >= 100 ? 1 : 2;
  const format = new Intl.NumberFormat("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
  return withMinus(format.format(value));
}

/** A score that somebody chose, without needless zeros: `475`, `-110`, `18.5`. */
export function objectiveText(value: number): string {
  return significant(value, 5);
}

/** A fraction in percent, two significant digits below 10 %: `0.0080 %` is written `0.008 %`. */
export function percent(fraction: number): string {
  const value = 100 * fraction;
  const digits = Math.abs(value) >= 99.9 && Math.abs(value) < 100 ? 4 : Math.abs(value) >= 10 ? 3 : 2;
  return `${significant(value, digits)}\u00a0%`;
}

/** `8 weights`, `1 weight` */
export function plural(count: number, noun: string): string {
  return `${integer(count)} ${noun}${count === 1 ? "" : "s"}`;
}

/** `0.4 s`, `12 s`, `3 min 05 s`, `1 h 02 min` */
export function duration(seconds: number): string {
  if (seconds < 9.95) return `${seconds.toFixed(1)}\u00a0s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole}\u00a0s`;
  const two = (value: number): string => String(value).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)}\u00a0min ${two(whole % 60)}\u00a0s`;
  const minutes = Math.round(seconds / 60);
  return `${Math.floor(minutes / 60)}\u00a0h ${two(minutes % 60)}\u00a0min`;
}
