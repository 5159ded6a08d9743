import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { FileError } from "../../src/errors.ts";
import { policyToOnnx } from "../../src/exporting/onnx.ts";
import { policyToSafetensors } from "../../src/exporting/safetensors.ts";
import { loadPolicy } from "../../src/importing/load.ts";
import { small } from "./fixtures/policies.ts";
import { denseVariables, writeCheckpoint } from "./fixtures/tf-writer.ts";

const root = mkdtempSync(join(tmpdir(), "pops-load-"));
afterAll(() => {
  rmSync(root, { recursive: true });
});

function file(name: string, content: Uint8Array | string): string {
  const path = join(root, name);
  writeFileSync(path, content);
  return path;
}

it.each([
  ["a .safetensors file", "a.safetensors", policyToSafetensors(small)],
  ["an .onnx file", "a.onnx", policyToOnnx(small)],
  ["an extension in capitals", "a.ONNX", policyToOnnx(small)],
  ["safetensors by their content", "policy", policyToSafetensors(small)],
  ["ONNX by its content", "policy.bin", policyToOnnx(small)],
])("loads %s", async (_name, name, bytes) => {
  expect(await loadPolicy(file(name, bytes))).toEqual(small);
});

it.each([
  ["a missing file", () => join(root, "missing.onnx"), "no such file"],
  ["a folder", () => root, "not a regular file"],
  ["an empty file", () => file("empty.onnx", ""), "no graph found"],
  ["an empty file without extension", () => file("empty", ""), "is no policy file"],
  ["a file of another kind", () => file("model.txt", "a text"), "expected .safetensors, .onnx, a zip of Stable"],
  ["a zip archive that is cut", () => file("model.zip", "PK\u0003\u0004 and so on"), "its end record was not found"],
  ["ONNX under the name of safetensors", () => file("b.safetensors", policyToOnnx(small)), "byte 0: header of"],
  ["safetensors under the name of ONNX", () => file("b.onnx", policyToSafetensors(small)), "byte "],
])("refuses %s and names it", async (_name, make, problem) => {
  const path = make();
  await expect(loadPolicy(path)).rejects.toThrow(FileError);
  await expect(loadPolicy(path)).rejects.toThrow(`${path}: `);
  await expect(loadPolicy(path)).rejects.toThrow(problem);
});

it("refuses a file over 1 GiB without reading it", async () => {
  const path = file("large.safetensors", "");
  truncateSync(path, 2 ** 30 + 1);
  await expect(loadPolicy(path)).rejects.toThrow("at most 1073741824 are read");
});

it.each([
  ["prefix", "tf/model.ckpt"],
  ["index", "tf/model.ckpt.index"],
  ["data file", "tf/model.ckpt.data-00000-of-00001"],
  ["folder", "tf"],
])("tells how to convert a TensorFlow checkpoint from its %s", async (_name, name) => {
  mkdirSync(join(root, "tf"), { recursive: true });
  const { index, shards } = writeCheckpoint(denseVariables({ a: [2, 2] }));
  file("tf/model.ckpt.index", index);
  file("tf/model.ckpt.data-00000-of-00001", shards[0]!);
  await expect(loadPolicy(join(root, name))).rejects.toThrow("pops import tf-checkpoint");
});
