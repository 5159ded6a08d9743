import { Worker } from "node:worker_threads";
import fc from "fast-check";
import { expect, describe as group, it } from "vitest";
import { policyToJs } from "../../src/exporting/js.ts";
import type { Form } from "../../src/exporting/js-layers.ts";
import { policyToSafetensors } from "../../src/exporting/safetensors.ts";
import { argmax, boundActions } from "../../src/network/action.ts";
import { type Architecture, dense, inputSize, outputSize, parameterCount } from "../../src/network/architecture.ts";
import type { Policy } from "../../src/network/policy.ts";
import { predictor } from "../../src/network/predict.ts";
import { stream } from "../../src/random/pcg64.ts";
import { sha256 } from "../../src/seal.ts";
import { architectures, convolutional, sparseNetworks } from "../arbitraries.ts";
import { randomParameters } from "../network/architectures.ts";

interface Exported {
  readonly forward: (observation: ArrayLike<number>, out?: Float32Array) => Float32Array;
  readonly act: (observation: ArrayLike<number>) => number | Float32Array;
  readonly meta: { readonly provenance: object } & Readonly<Record<string, unknown>>;
}

/** A module's URL is its whole text, so every policy is imported anew, by whatever thread. */
const urlOf = (code: string): string => `data:text/javascript;base64,${Buffer.from(code).toString("base64")}`;
const imported = async (policy: Policy, form?: Form): Promise<Exported> =>
  (await import(/* @vite-ignore */ urlOf(policyToJs(policy, form).code))) as Exported;

function observationsOf(architecture: Architecture, count: number, seed: number): Float32Array[] {
  const random = stream(seed, "observations");
  const element = (): number => (random.integer(4) === 0 ? 0 : 3 * random.normal());
  return Array.from({ length: count }, () => Float32Array.from({ length: inputSize(architecture) }, element));
}

/** What `predictor` and the rules of actions give. */
function expectedOf(
  policy: Policy,
  observation: Float32Array,
): { outputs: Float32Array; action: number | Float32Array } {
  const outputs = predictor(policy)(observation).slice();
  if (policy.architecture.gaussian === undefined) return { outputs, action: argmax(outputs) };
  const action = outputs.slice();
  boundActions(policy.architecture, action);
  return { outputs, action };
}

/** Equal numbers, of which 0 has no sign. */
const plain = (value: number | Float32Array): number | number[] =>
  typeof value === "number" ? value : Array.from(value, (x) => x + 0);

async function expectAgreement(policy: Policy, form?: Form): Promise<void> {
  const { forward, act } = await imported(policy, form);
  for (const observation of observationsOf(policy.architecture, 5, 7)) {
    const { outputs, action } = expectedOf(policy, observation);
    expect(plain(forward(observation))).toEqual(plain(outputs));
    expect(plain(act(observation))).toEqual(plain(action));
  }
}

const cartPole: Policy = {
  architecture: dense(4, [5], 2, "q-values"),
  parameters: randomParameters(dense(4, [5], 2, "q-values"), 3),
  provenance: {},
};

group("outputs and actions are those of single decisions, to the bit", () => {
  it.each<Form>(["straight", "dense", "sparse"])("of dense networks in the form %s", async (form) => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(sparseNetworks(0), sparseNetworks(0.6)), (network) =>
        expectAgreement({ ...network, provenance: {} }, form),
      ),
      { numRuns: 60 },
    );
  });

  it("of convolutions of few and of many filters, with and without padding", { timeout: 240_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(sparseNetworks(0.2, convolutional), (network) =>
        expectAgreement({ ...network, provenance: {} }),
      ),
      { numRuns: 100 },
    );
  });

  it.each([
    ["wide layers", dense(20, [70, 33], 9, "logits", "tanh"), 0],
    ["wide layers of which most weights are pruned", dense(20, [90, 70], 9, "q-values"), 0.95],
    ["one layer in each form", dense(6, [300, 150, 2], 3, "logits"), 0.9],
  ] as const)("of %s, each in the form that suits it", async (_, architecture, zeros) => {
    const random = stream(5, "zeros");
    const kept = randomParameters(architecture, 5).map((value) => (random.double() < zeros ? 0 : value));
    await expectAgreement({ architecture, parameters: kept, provenance: {} });
  });
});

it("a weight of 0 leaves no trace in straight code", () => {
  const architecture = dense(3, [], 1, "q-values");
  const { code } = policyToJs({ architecture, parameters: Float32Array.of(0.5, 0, 0.25, 2), provenance: {} });
  expect(code).toContain("x1[0] = 2 + 0.5 * x0[0] + 0.25 * x0[2];");
});

it("layers take the form of their size and density", () => {
  const formOf = (hidden: number, density: number): string => {
    const architecture = dense(32, [hidden], 1, "q-values");
    const parameters = new Float32Array(parameterCount(architecture)).map((__, i) => (i % 100 < 100 * density ? 1 : 0));
    const { code } = policyToJs({ architecture, parameters, provenance: {} });
    return /places1/.test(code) ? "dense" : /columns1/.test(code) ? "sparse" : "straight";
  };
  expect([formOf(8, 1), formOf(9, 1), formOf(256, 0.1), formOf(256, 0.3), formOf(64, 0.1)]).toEqual([
    ...["straight", "dense", "sparse", "dense", "straight"],
  ]);
});

it("takes any list of numbers, rounded to float32", async () => {
  const { forward } = await imported(cartPole);
  const observation = [0.1, -0.2, 0.3, 1e-3];
  expect(forward(observation)).toEqual(predictor(cartPole)(Float32Array.from(observation)));
});

it("gives outputs that the next call leaves alone, or puts them where they are wanted", async () => {
  const { forward } = await imported(cartPole);
  const [first, second] = observationsOf(cartPole.architecture, 2, 1);
  const outputs = forward(first!);
  const kept = outputs.slice();
  const out = new Float32Array(2);
  expect(forward(second!, out)).toBe(out);
  expect(outputs).toEqual(kept);
  expect(out).not.toEqual(kept);
});

it("chooses the first among equal outputs", async () => {
  const architecture = dense(1, [], 3, "q-values");
  const { act } = await imported({ architecture, parameters: Float32Array.of(0, 0, 0, 1, 2, 2), provenance: {} });
  expect(act([5])).toBe(1);
});

it("refuses observations and places for outputs of another length", async () => {
  const { forward, act } = await imported(cartPole);
  const wrong = /^an observation has 4 numbers here, not 3$/;
  for (const decide of [forward, act]) expect(() => decide([1, 2, 3])).toThrow(RangeError);
  for (const decide of [forward, act]) expect(() => decide([1, 2, 3])).toThrow(wrong);
  expect(() => forward([1, 2, 3, 4], new Float32Array(3))).toThrow(/^out has 3 numbers, this policy gives 2$/);
});

it("says what the policy is, and nobody can change it", async () => {
  const score = { mean: 1, sd: 0, min: 1, lower95: 1, interval95: [1, 1] as [number, number], episodes: 5 };
  const policy: Policy = { ...cartPole, environment: "CartPole-v1", score, provenance: { seed: "1" } };
  const { meta } = await imported(policy);
  expect(meta).toEqual({
    version: expect.stringMatching(/^\d+\.\d+\.\d+/) as string,
    sha256: sha256(policyToSafetensors(policy)),
    layers: "4-5-2",
    input: [4],
    outputs: 2,
    head: "q-values",
    environment: "CartPole-v1",
    score,
    provenance: { seed: "1" },
  });
  expect(Object.isFrozen(meta)).toBe(true);
  expect(Object.isFrozen(meta.provenance)).toBe(true);
});

it("equal policies give equal text, another number another one", () => {
  const other = cartPole.parameters.slice();
  other[3]! += 1;
  expect(policyToJs({ ...cartPole })).toEqual(policyToJs(cartPole));
  expect(policyToJs({ ...cartPole, parameters: other }).code).not.toBe(policyToJs(cartPole).code);
});

it("no name and no provenance breaks out of the code, whatever it holds", { timeout: 240_000 }, async () => {
  const nasty = [
    '"',
    "'",
    "`",
    "${",
    "\\",
    "\n",
    "\r",
    "*/",
    "/*",
    "//",
    "</script>",
    "<!--",
    "<script",
    "\u2028",
    "\u2029",
    "\0",
    "\ud800",
    "\udc00",
    "é",
    "__proto__",
  ];
  const text = fc
    .array(fc.oneof(fc.constantFrom(...nasty), fc.string({ unit: "binary" })), { maxLength: 8 })
    .map((parts) => parts.join("").slice(0, 100));
  await fc.assert(
    fc.asyncProperty(
      text,
      fc.dictionary(text, text, { maxKeys: 4, noNullPrototype: true }),
      async (environment, provenance) => {
        const policy = { ...cartPole, environment, provenance };
        const { code } = policyToJs(policy);
        expect(code).toMatch(/^[\n -~]*$/);
        expect(code).not.toMatch(/<\/script|<script|<!--/i);
        const { meta, act } = await imported(policy);
        expect(Object.entries(meta.provenance)).toEqual(Object.entries(provenance));
        expect(meta).toMatchObject({ environment });
        expect(act([0, 0, 0, 0])).toBe(expectedOf(policy, new Float32Array(4)).action);
      },
    ),
    { numRuns: 200 },
  );
});

it("runs in a worker thread", async () => {
  const observation = [0.1, 0.2, -0.3, 0.4];
  const source = `const { parentPort } = require("node:worker_threads");
import(${JSON.stringify(urlOf(policyToJs(cartPole).code))}).then(({ forward, act }) =>
  parentPort.postMessage({ outputs: forward(${JSON.stringify(observation)}), action: act(${JSON.stringify(observation)}) }));`;
  const worker = new Worker(source, { eval: true });
  const answer = await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
  expect(answer).toEqual(expectedOf(cartPole, Float32Array.from(observation)));
});

it("asks for nothing of Node: no imports, no eval", () => {
  fc.assert(
    fc.property(fc.oneof(architectures, convolutional), (architecture) => {
      const parameters = randomParameters(architecture, outputSize(architecture));
      const { code } = policyToJs({ architecture, parameters, provenance: {} });
      expect(code).not.toMatch(/\b(?:import|require|eval|Function|Buffer|process|globalThis)\b/);
    }),
  );
});
