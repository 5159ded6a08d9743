import { randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { FileError } from "../../src/errors.ts";
import { policyToOnnx } from "../../src/exporting/onnx.ts";
import { pickleOf, type Pickle as Value } from "../../src/exporting/pickle.ts";
import { policyFromForeignOnnx } from "../../src/importing/foreign-onnx.ts";
import { readPickle } from "../../src/importing/pickle.ts";
import { policyFromSb3 } from "../../src/importing/sb3.ts";
import { policyFromStateDict } from "../../src/importing/state-dict.ts";
import { readTorch } from "../../src/importing/torch.ts";
import { readVecNormalize } from "../../src/importing/vec-normalize.ts";
import { ZipArchive } from "../../src/importing/zip.ts";
import { dense } from "../../src/network/architecture.ts";
import { encodeModel, type OnnxGraph, type OnnxNode } from "../../src/tensor/onnx-model.ts";
import { decodeModel } from "../../src/tensor/onnx-reader.ts";
import { sb3Of, torchOf, torchZip, vecNormalizeOf, view, zipOf } from "./fixtures/foreign-writer.ts";
import { randomPolicy, small } from "./fixtures/policies.ts";

function expectRefused(read: () => unknown, problem: string): void {
  expect(read).toThrow(FileError);
  expect(read).toThrow(problem);
}

describe("a pickle that would act when Python loads it", () => {
  const call = (global: string, ...args: Value[]): Value => ({ call: global, args });
  it.each([
    ["os.system", call("os.system", "touch /tmp/owned")],
    ["posix.system", call("posix.system", "id")],
    ["builtins.eval", call("builtins.eval", "1")],
    ["builtins.exec", call("builtins.exec", "1")],
    ["builtins.getattr", call("builtins.getattr", "a", "b")],
    ["subprocess.Popen", call("subprocess.Popen", ["id"])],
    ["numpy.load", call("numpy.load", "x")],
    ["torch.load", call("torch.load", "x")],
    ["torch.hub.load", call("torch.hub.load", "x")],
    ["runpy._run_code", call("runpy._run_code", "x")],
    ["cloudpickle.cloudpickle._make_function", call("cloudpickle.cloudpickle._make_function", "x")],
  ])("is refused by the name %s, in every file", (name, root) => {
    const problem = `needs "${name}", which is refused (nothing was executed)`;
    expectRefused(() => readTorch(torchZip(root), "hostile"), problem);
    expectRefused(() => readTorch(torchZip(new Map([["a.weight", root]])), "hostile"), problem);
    expectRefused(() => readVecNormalize(pickleOf(root), "hostile"), problem);
    expectRefused(() => policyFromSb3(sb3Of(name, torchOf(small, ["a", "b"]), 3, false), "hostile"), problem);
  });

  it.each([
    ["INST", "(S'id'\nios\nsystem\n."],
    ["OBJ", "(cos\nsystem\nS'id'\no."],
    ["EXT1", "\u0082\u0001."],
    ["a persistent id as text", "P1\n."],
    ["BUILD on a name", "ctorch\nSize\n}b."],
    ["a call of what was called", "ctorch\nSize\n)R)R."],
  ])("is refused where it uses %s", (_name, body) => {
    const pickle = Buffer.concat([Buffer.from([0x80, 2]), Buffer.from(body, "latin1")]);
    expectRefused(() => readPickle(pickle, "hostile", { allowed: new Set(["torch.Size"]) }), "pickle, byte ");
  });
});

describe("a pickle that would fill memory or time", () => {
  const options = { allowed: new Set(["collections.OrderedDict"]) };
  const pickle = (...parts: Uint8Array[]): Buffer => Buffer.concat([Buffer.from([0x80, 2]), ...parts]);
  it.each([
    ["deep lists", pickle(Buffer.alloc(2_000_000, 0x28)), "open marks"],
    ["dictionaries without end", pickle(Buffer.alloc(2_000_000, 0x7d)), "operations"],
    ["deep tuples", pickle(Buffer.from([0x29]), Buffer.alloc(2_000_000, 0x85)), "operations"],
    ["a memo of everything", pickle(Buffer.from([0x29]), Buffer.alloc(2_000_000, 0x94)), "operations"],
    [
      "calls of calls",
      pickle(Buffer.from("ccollections\nOrderedDict\n)R"), Buffer.alloc(9, 0x52)),
      "takes a value that is not there",
    ],
    ["a text of 4 GiB", pickle(Buffer.from([0x58, 255, 255, 255, 255])), "a text of"],
    ["bytes of 2^64", pickle(Buffer.from([0x8e, ...new Array<number>(8).fill(255)])), "beyond the file"],
    ["an integer of 4 GiB", pickle(Buffer.from([0x8b, 255, 255, 255, 127])), "an integer of"],
    ["no end", pickle(Buffer.from([0x4e])), "ends before its time"],
    ["an empty stack", pickle(Buffer.from([0x2e])), "takes a value that is not there"],
  ])("is refused: %s", (_name, bytes, problem) => {
    expectRefused(() => readPickle(bytes, "hostile", options), problem);
  });

  it("is refused: dictionaries that share others, so that 2^19 ways lead through 19 of them", () => {
    const pickled = [pickleOf(new Map()).subarray(2, -1), Buffer.from([0x71, 0])];
    for (let level = 1; level < 20; level++) {
      // {"a": memo, "b": memo}, kept as the next one.
      const recall = Buffer.from([0x68, level - 1]);
      pickled.push(
        Buffer.from("}(X\u0001\0\0\0a"),
        recall,
        Buffer.from("X\u0001\0\0\0b"),
        recall,
        Buffer.from([0x75, 0x71, level]),
      );
    }
    const bytes = zipOf([{ name: "x/data.pkl", content: pickle(...pickled, Buffer.from(".")) }]);
    expectRefused(() => readTorch(bytes, "hostile"), "nests too much");
  });

  it("is refused: names that grow with every level", () => {
    let root: Value = new Map([["w", view("0", 1, [1], [1])]]);
    for (let level = 0; level < 10; level++) root = new Map([["n".repeat(200), root]]);
    expectRefused(() => readTorch(torchZip(root, [Buffer.alloc(4)]), "hostile"), "nests too much");
  });
});

describe("tensors", () => {
  it.each([
    ["that repeat one number 2^40 times", view("0", 1, [2 ** 20, 2 ** 20], [0, 0]), "is too large"],
    [
      "whose size is no number any more",
      view("0", 1, new Array<number>(8).fill(2 ** 30), new Array<number>(8).fill(0)),
      "is too large",
    ],
    ["that reach beyond their storage", view("0", 8, [2, 2], [2, 1], 1), "reaches beyond its storage"],
    ["with a negative offset", view("0", 1, [1], [1], -1), "is no dense tensor"],
    ["with negative strides", view("0", 1, [2], [-1]), "is no dense tensor"],
    ["of a storage that is not there", view("7", 1, [1], [1]), "needs storage 7"],
    ["of a storage that is a path", view("../../etc/passwd", 1, [1], [1]), "no storage of it"],
  ])("are refused %s", (_name, tensor, problem) => {
    expectRefused(() => readTorch(torchZip(new Map([["w", tensor]]), [Buffer.alloc(16)]), "hostile"), problem);
  });

  it.each([
    ["Half", [0x3c00, 0xc248, 0x0001], [1, -3.140625, 2 ** -24]],
    ["BFloat16", [0x3f80, 0xc049, 0x0001], [1, -3.140625, 2 ** -133]],
  ])("are read of %s numbers, two bytes each", (type, bits, numbers) => {
    const file = torchZip(new Map([["w", view("0", 3, [3], [1], 0, type)]]), [
      Buffer.from(Uint16Array.from(bits).buffer),
    ]);
    expect(Array.from(readTorch(file, "x").get("w")!.data)).toEqual(numbers);
  });

  it("are refused when ten thousand of them share a storage", () => {
    const all = new Map(Array.from({ length: 10_000 }, (_, i) => [`w${i}`, view("0", 250_000, [250_000], [1])]));
    expectRefused(() => readTorch(torchZip(all, [new Uint8Array(1_000_000)]), "hostile"), "is too large");
  });

  it("is refused where it is large for the archive that it comes from", () => {
    const inner = torchZip(new Map([["w", view("0", 1_000_000, [1_000_000], [1])]]), [new Uint8Array(4_000_000)]);
    expect(readTorch(inner, "x").get("w")?.data).toHaveLength(1_000_000);
    expectRefused(() => readTorch(inner, "hostile", 20_000), "made to harm");
  });
});

describe("a zip archive", () => {
  const entry = { name: "a", content: Buffer.from("content") };
  const end64 = (start: number, count: number, where: (start: number) => number): Buffer => {
    const bytes = Buffer.alloc(76);
    bytes.writeUInt32LE(0x06064b50);
    bytes.writeUInt32LE(count, 32);
    bytes.writeUInt32LE(where(start), 48);
    bytes.writeUInt32LE(0x07064b50, 56);
    bytes.writeUInt32LE(start + 47, 64);
    return bytes;
  };

  it("is read where both end records agree", () => {
    const archive = new ZipArchive(
      zipOf([entry], (start, count) => end64(start, count, (at) => at)),
      "x",
    );
    expect(Buffer.from(archive.read("a")!).toString()).toBe("content");
  });

  it.each([
    [
      "whose zip64 record names another directory",
      zipOf([entry], (start, count) => end64(start, count, () => 5)),
      "zip64 end record",
    ],
    ["with a bomb", zipOf([{ name: "a", content: Buffer.alloc(50_000_000), deflate: true }]), "made to harm"],
    [
      "with many small bombs",
      zipOf(Array.from({ length: 9 }, (_, i) => ({ name: `${i}`, content: Buffer.alloc(900_000), deflate: true }))),
      "made to harm",
    ],
    [
      "whose entries share their bytes",
      zipOf([entry, { ...entry, name: "a", localName: "a", offset: 0 }]),
      "stands twice",
    ],
    [
      "whose entries overlap",
      zipOf([
        { ...entry, content: zipOf([{ name: "b", content: Buffer.alloc(3) }]) },
        { name: "b", content: Buffer.alloc(3), offset: 31 },
      ]),
      "overlaps",
    ],
    ["with two names of one entry", zipOf([entry, { ...entry, localName: "b" }]), "stands twice"],
    [
      "with another method in its local header",
      zipOf([{ ...entry, localMethod: 8 }]),
      "another one in its local header",
    ],
    [
      "with another name in its local header",
      zipOf([{ ...entry, localName: "b" }]),
      "another name in its local header",
    ],
    ["of entries of 4 GiB", zipOf([{ ...entry, size: 0xffffffff }]), "zip64 size"],
    ["of encrypted entries", zipOf([{ ...entry, flags: 1 }]), "is encrypted"],
    ["with nothing at its offset", zipOf([{ ...entry, offset: 3 }]), "no local header"],
    ["that is cut", zipOf([entry]).subarray(0, -1), "end record was not found"],
    ["that is empty", Buffer.alloc(0), "end record was not found"],
  ])("is refused %s", (_name, bytes, problem) => {
    expectRefused(() => new ZipArchive(bytes, "hostile"), problem);
  });

  it.each([
    ["another checksum", { ...entry, crc: 1 }, "is damaged"],
    ["more than it says", { ...entry, deflate: true, size: 3 }, "cannot be inflated"],
    ["less than it says", { ...entry, deflate: true, size: 30 }, "has 7 bytes"],
    ["noise", { name: "a", content: randomBytes(0), deflate: false, size: 5 }, "has 0 bytes"],
  ])("gives no entry that has %s", (_name, hostile, problem) => {
    const archive = new ZipArchive(zipOf([hostile]), "hostile");
    expectRefused(() => archive.read("a"), problem);
  });

  it("takes names as names: none leads out of it", () => {
    const names = ["../../x", "/etc/passwd", "C:\\x", "data", "policy.pth"];
    const archive = new ZipArchive(zipOf(names.map((name) => ({ name, content: Buffer.from(name) }))), "x");
    expect(archive.names).toEqual(names);
    expect(archive.read("../../y")).toBeUndefined();
    expectRefused(
      () => policyFromSb3(zipOf([{ name: "../data", content: Buffer.from("{}") }]), "hostile"),
      "no entry data",
    );
  });
});

describe("an ONNX model of others", () => {
  const { graph } = decodeModel(policyToOnnx(small), "x");
  const read = (changes: Partial<OnnxGraph>, opset = 17) => {
    const model = {
      irVersion: 10,
      opset,
      producerName: "",
      producerVersion: "",
      metadata: {},
      graph: { ...graph, ...changes },
    };
    return policyFromForeignOnnx(decodeModel(encodeModel(model), "hostile"), "hostile", {});
  };
  const node = (opType: string, inputs: string[], output: string): OnnxNode => ({
    opType,
    name: "",
    inputs,
    outputs: [output],
    attributes: {},
  });
  const outputs = [{ ...graph.outputs[0]!, name: "out" }];
  const loop = [node("Relu", ["b"], "a"), node("Relu", ["a"], "b"), node("Add", ["b", "q_values"], "out")];
  const long = Array.from({ length: 100_000 }, (_, i) =>
    node("Relu", [i === 0 ? "q_values" : `r${i}`], i === 99_999 ? "out" : `r${i + 1}`),
  );
  const wide = { ...graph.inputs[0]!, dims: ["batch", 2 ** 40] };

  it("is the policy itself where nothing was changed", () => {
    expect(read({}).parameters).toEqual(small.parameters);
  });

  it.each([
    ["a cycle", { nodes: [...graph.nodes, ...loop], outputs }, 'Relu "a" needs "b"'],
    ["100,000 nodes behind each other", { nodes: [...graph.nodes, ...long], outputs }, "needs over 200 nodes"],
    ["two values of a name", { nodes: [...graph.nodes, ...graph.nodes] }, "is there already"],
    [
      "an observation of 2^40 numbers",
      { inputs: [wide], nodes: [node("Relu", ["observation"], "q_values")] },
      "takes over 1000000 numbers",
    ],
    ["no layer", { nodes: [node("Identity", ["observation"], "q_values")] }, "has no dense layer"],
    [
      "a node of 300 inputs",
      { nodes: [node("Sum", new Array<string>(300).fill("observation"), "q_values")] },
      "has 300 inputs and 1 outputs, at most 256 are read",
    ],
    ["several inputs", { inputs: [graph.inputs[0]!, { ...graph.inputs[0]!, name: "more" }] }, "several inputs"],
    ["an output of nowhere", { nodes: [] }, "does not depend on its input"],
    [
      "an operator that is not understood",
      { nodes: [...graph.nodes, node("Sin", ["q_values"], "out")], outputs },
      'Sin "out" is not understood',
    ],
  ])("is refused with %s", (_name, changes, problem) => {
    expectRefused(() => read(changes), problem);
  });

  it.each([10, 24])("is refused with opset %i", (opset) => {
    expectRefused(() => read({}, opset), `has opset ${opset}`);
  });
});

describe("statistics of VecNormalize", () => {
  it("hold for each of several observations that were stacked behind it", () => {
    const normalization = readVecNormalize(vecNormalizeOf([1, 2], [1, 3]), "x");
    const six = randomPolicy(dense(6, [], 3, "q-values"));
    const { architecture, provenance } = policyFromStateDict(
      readTorch(torchOf(six, ["a"]), "x"),
      { statistics: { normalization, source: "x" } },
      "x",
      "stacked",
    );
    const { mean, deviation } = architecture.normalization!;
    expect(mean).toEqual([1, 2, 1, 2, 1, 2]);
    expect(deviation[5]).toBeCloseTo(Math.sqrt(3), 6);
    expect(provenance).toMatchObject({ normalization: "x, for each of 3 stacked observations" });
  });

  it("are refused with another length than the observation's", () => {
    const normalization = readVecNormalize(vecNormalizeOf([1, 2], [1, 1]), "x");
    const tensors = readTorch(torchOf(small, ["a", "b"]), "x");
    expectRefused(
      () => policyFromStateDict(tensors, { statistics: { normalization, source: "x" } }, "x", "hostile"),
      "x: holds statistics of 2 numbers, an observation has 3",
    );
  });

  it("are refused from what is no pickle", () => {
    expectRefused(
      () => readVecNormalize(Buffer.from("PK"), "x"),
      "it is no pickle: expected what VecNormalize.save() wrote",
    );
  });

  it("need not limit what they normalise", () => {
    expect(readVecNormalize(vecNormalizeOf([1], [1], Number.POSITIVE_INFINITY), "x")).toEqual({
      mean: [1],
      deviation: [Math.sqrt(1 + 1e-8)],
    });
  });

  it("are refused when they are reshaped from themselves", () => {
    const text = (value: string): Buffer => {
      const bytes = Buffer.from(value);
      return Buffer.concat([Buffer.of(0x58, bytes.length, 0, 0, 0), bytes]);
    };
    const library = "stable_baselines3.common";
    // A list, an array made of its elements, and that array appended to the list.
    const cycle = (k: number): Buffer[] => [
      Buffer.from("cnumpy\nreshape\n]"),
      Buffer.of(0x71, k, 0x52, 0x71, k + 1, 0x68, k, 0x68, k + 1, 0x61, 0x30),
    ];
    const bytes = Buffer.concat([
      Buffer.from(`\x80\x02c${library}.vec_env.vec_normalize\nVecNormalize\n)\x81}(`, "latin1"),
      ...[text("norm_obs"), Buffer.of(0x88), text("obs_rms")],
      Buffer.from(`c${library}.running_mean_std\nRunningMeanStd\n)\x81}(`, "latin1"),
      ...[text("mean"), ...cycle(1), text("var"), ...cycle(3), Buffer.from("ubub.")],
    ]);
    expectRefused(() => readVecNormalize(bytes, "x"), "has no statistics of observations as arrays");
  });

  it("are refused with a negative variance", () => {
    const normalization = readVecNormalize(vecNormalizeOf([1, 2, 3], [1, 1, -2]), "x");
    const tensors = readTorch(torchOf(small, ["a", "b"]), "x");
    expectRefused(
      () => policyFromStateDict(tensors, { statistics: { normalization, source: "x" } }, "x", "hostile"),
      "deviation",
    );
  });
});
