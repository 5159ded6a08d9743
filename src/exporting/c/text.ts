/** Columns that generated code keeps to where it can. */
const COLUMNS = 110;

/** A number as a float literal of C: the shortest that gives the same float32. */
export function float(value: number): string {
  const exact = Math.fround(value);
  if (Object.is(exact, -0)) return "-0.0f";
  let digits = 1;
  while (digits < 9 && Math.fround(Number(exact.toPrecision(digits))) !== exact) digits++;
  const text = String(Number(exact.toPrecision(digits)));
  return /[.e]/.test(text) ? `${text}f` : `${text}.0f`;
}

/** Words of others inside a comment: printable ASCII, without anything that would end it, open another, or go on the next line. */
export function inComment(text: string): string {
  return JSON.stringify(text)
    .slice(1, -1)
    .replaceAll(/[^\x20-\x7e]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`)
    .replaceAll("*/", "* /")
    .replaceAll("/*", "/ *")
    .replaceAll("??", "? ?")
    .replaceAll(/\\+$/g, "")
    .replaceAll('\\"', '"');
}

/** `static const TYPE NAME[LENGTH] = { ... };` in lines of bounded length. */
export function constants(type: string, name: string, literals: readonly string[]): string {
  const lines: string[] = [];
  let line = " ";
  for (const literal of literals) {
    if (line.length + literal.length + 2 > COLUMNS) {
      lines.push(line);
      line = " ";
    }
    line += ` ${literal},`;
  }
  lines.push(line);
  return `static const ${type} ${name}[${literals.length}] = {\n${lines.join("\n")}\n};\n`;
}
