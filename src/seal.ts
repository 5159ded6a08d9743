import { createHash } from "node:crypto";
import { FileError } from "./errors.ts";

/** SHA-256, hexadecimal. */
export function sha256(content: Uint8Array | string): string {
  return createHash("sha256").update(content).digest("hex");
}

/** Stands where the digest goes while it is computed. */
export const NO_DIGEST = "0".repeat(64);

/** SHA-256, hexadecimal, of the whole file with 64 zeros in place of the digest that begins at `offset`. */
function digestOf(bytes: Uint8Array, offset: number): string {
  const hash = createHash("sha256").update(bytes.subarray(0, offset)).update(NO_DIGEST);
  // One update takes no more than 2^31 - 1 bytes.
  for (let from = offset + NO_DIGEST.length; from < bytes.length; from += 2 ** 30) {
    hash.update(bytes.subarray(from, from + 2 ** 30));
  }
  return hash.digest("hex");
}

/** Replaces the 64 zeros at `offset` by the digest of the file. */
export function seal(bytes: Uint8Array, offset: number): void {
  bytes.set(Buffer.from(digestOf(bytes, offset)), offset);
}

/**
 * Refuses a file that is not, to the bit, what was sealed.
 *
 * @param stated the digest that the file's metadata states; it has to stand at `offset`
 * @throws FileError
 */
export function checkSeal(bytes: Uint8Array, offset: number, stated: string | undefined, path: string): void {
  if (stated === undefined) throw new FileError(path, "says that PoPS wrote it, but has no sha256: it was changed");
  const standing = Buffer.from(bytes.subarray(offset, offset + NO_DIGEST.length)).toString("latin1");
  if (standing !== stated || stated !== digestOf(bytes, offset)) {
    throw new FileError(
      path,
      "is damaged or was changed after PoPS wrote it: its content does not have the SHA-256 it states",
    );
  }
}
