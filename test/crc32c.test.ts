import fc from "fast-check";
import { expect, it } from "vitest";
import { crc32c, maskedCrc32c } from "../src/crc32c.ts";
import { bitwiseCrc32c } from "./importing/fixtures/tf-writer.ts";

// RFC 3720, appendix B.4, and the check value of CRC catalogues.
it.each([
  ["nothing", new Uint8Array(0), 0],
  ["123456789", Buffer.from("123456789"), 0xe3069283],
  ["32 zeros", new Uint8Array(32), 0x8a9136aa],
  ["32 ones", new Uint8Array(32).fill(0xff), 0x62a8ab43],
  ["0 to 31", Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
  ["31 to 0", Uint8Array.from({ length: 32 }, (_, i) => 31 - i), 0x113fdb5c],
])("has the published value of %s", (_name, bytes, expected) => {
  expect(crc32c(bytes)).toBe(expected);
});

it("equals the division bit by bit", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => crc32c(bytes) === bitwiseCrc32c(bytes)));
});

it("masks by rotation and a constant", () => {
  // 0xe3069283 rotated right by 15 bits is 0x2507c60d; plus 0xa282ead8 is 0xc78ab0e5.
  expect(maskedCrc32c(Buffer.from("123456789"))).toBe(0xc78ab0e5);
});
