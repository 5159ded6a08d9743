/** Elements of an array of that shape; of a product beyond 2^53 about as many. */
export function elementsOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}
