import { fstatSync, writeSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { SharedMemory } from "../../src/environment/shared-memory.ts";

type Three = [number, number, number];

describe.skipIf(process.platform === "win32")("shared memory", () => {
  it("gives places that do not overlap, and those again that were given back", () => {
    const memory = SharedMemory.create()!;
    const [first, second, third] = [100_000, 50_000, 100_000].map((bytes) => memory.reserve(bytes)!) as Three;
    expect([first, second, third].every((place) => place % 65_536 === 0)).toBe(true);
    expect(second).toBeGreaterThanOrEqual(first + 100_000);
    expect(third).toBeGreaterThanOrEqual(second + 50_000);
    memory.release(first, 100_000);
    expect(memory.reserve(50_000)).toBeGreaterThanOrEqual(third + 100_000);
    expect(memory.reserve(100_000)).toBe(first);
    memory.close();
  });

  it("reads what is written at a place", () => {
    const memory = SharedMemory.create()!;
    const place = memory.reserve(4)!;
    writeSync(memory.descriptor, Uint8Array.of(1, 2, 3, 4), 0, 4, place);
    const bytes = new Uint8Array(4);
    memory.read(place, bytes);
    expect([...bytes]).toEqual([1, 2, 3, 4]);
    expect(() => {
      memory.read(place, new Uint8Array(100_000));
    }).toThrow("shorter");
    memory.close();
  });

  it("leaves no file", () => {
    const memory = SharedMemory.create()!;
    memory.reserve(10);
    expect(fstatSync(memory.descriptor).nlink).toBe(0);
    memory.close();
  });
});
