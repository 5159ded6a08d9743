/**
 * Stands for zod in pages, which would be two thirds of them: environments there only play, and never read a state that a
 * schema would have to check. Schemas can be written down, as modules do when they are loaded; using one fails.
 */
export const z: unknown = new Proxy(() => undefined, {
  get: (_, name) => {
    if (name === "parse" || name === "safeParse") throw new Error("a page reads no states");
    return z;
  },
  apply: () => z,
});
