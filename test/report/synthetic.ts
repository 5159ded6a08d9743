import type { Event } from "../../src/events.ts";
import {
  type Architecture,
  type Convolution,
  countsOf,
  dense,
  describe,
  layoutOf,
  parameterCount,
} from "../../src/network/architecture.ts";
import type { BlackBoxPolicy, Policy, Score } from "../../src/network/policy.ts";
import type { ReportInput } from "../../src/report/report.ts";
import type { Result, Side } from "../../src/run/result.ts";

/** Numbers in [0, 1) that look random and are the same every time (a linear congruential generator modulo 2^32). */
function noise(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

function scoreOf(mean: number, sd: number, episodes = 1000): Score {
  const half = (1.96 * sd) / Math.sqrt(episodes);
  return {
    mean,
    sd,
    min: mean - 3 * sd,
    lower95: mean - 0.84 * half,
    interval95: [mean - half, Math.min(500, mean + half)],
    episodes,
  };
}

/** Weights roughly normal with the scale of the layer's inputs. */
export function policyOf(architecture: Architecture, seed = 1): Policy {
  const draw = noise(seed);
  const parameters = new Float32Array(parameterCount(architecture));
  for (const layer of layoutOf(architecture)) {
    for (let index = layer.weights.offset; index < layer.biases.offset + layer.biases.length; index++) {
      parameters[index] = (draw() + draw() + draw() + draw() - 2) * Math.sqrt(6 / layer.inputs);
    }
  }
  return { architecture, parameters, provenance: {} };
}

export function sideOf(policy: Policy, score: Score, latencyMicros: number): Side {
  const { weights, biases, bytes, macs } = countsOf(policy.architecture);
  return {
    architecture: policy.architecture,
    layers: describe(policy.architecture),
    weights,
    biases,
    nonZero: weights,
    bytes,
    macs,
    latencyMicros,
    score,
  };
}

const quick = (mean: number, sd = 12) => ({ mean, sd, min: mean - 2 * sd, episodes: 50 });

/** A CartPole-v1 run as the loop makes it: teacher training, three iterations, squeeze search, proofs. */
export function cartPoleRun(
  options: { readonly imported?: boolean; readonly trainingEvents?: number } = {},
): ReportInput {
  const draw = noise(7);
  const teacher = policyOf(dense(4, [256, 256, 128], 2, "q-values"), 3);
  const policy = policyOf(dense(4, [], 2, "q-values"), 5);
  const networks = [
    [256, 256, 128],
    [38, 22, 12],
    [9, 6, 4],
  ].map((hidden) => dense(4, hidden, 2, "q-values"));
  const events: Event[] = [
    { type: "run-started", step: 0, version: 1, environment: "CartPole-v1", seed: 1, preset: "CartPole-v1" },
  ];
  const steps: Result["steps"] = [];
  const take = (
    architecture: Architecture,
    stage: Result["steps"][number]["stage"],
    iteration: number,
    score: number,
    episodes: number,
    passed: boolean,
  ): void => {
    steps.push({
      stage,
      iteration,
      layers: describe(architecture),
      weights: countsOf(architecture).weights,
      score,
      episodes,
      passed,
    });
  };

  let step = 0;
  if (options.imported !== true) {
    events.push({ type: "stage-started", step: 0, stage: "teacher", iteration: 0, architecture: teacher.architecture });
    const count = options.trainingEvents ?? 240;
    for (let k = 0; k < count; k++) {
      const progress = (k + 1) / count;
      step += 100;
      const reached = 500 / (1 + Math.exp(-11 * (progress - 0.5)));
      events.push({
        type: "train",
        step,
        environmentSteps: 4 * step,
        episodes: 2 * k,
        progress,
        loss: 0.05 + 1.8 * progress * Math.exp(-2.4 * progress) * (0.6 + 0.8 * draw()),
        epsilon: Math.max(0.04, 1 - 3 * progress),
        episodeReturn: 18 + 0.8 * reached * (0.92 + 0.16 * draw()),
      });
      if (k % 8 === 7) {
        const score = Math.min(500, Math.max(9, reached * (0.7 + 0.55 * draw())));
        events.push({
          type: "teacher-evaluated",
          step,
          environmentSteps: 4 * step,
          score: quick(score),
          passed: score >= 475,
        });
      }
    }
  }
  const teacherScore = scoreOf(499.6, 3.1);
  take(teacher.architecture, "teacher", 0, teacherScore.mean, 1000, true);
  events.push({
    type: "proof",
    step,
    role: "teacher",
    architecture: teacher.architecture,
    weights: 99584,
    score: teacherScore,
    objective: 475,
    passed: true,
  });

  for (const [index, architecture] of networks.entries()) {
    const iteration = index + 1;
    const total = countsOf(architecture).weights;
    events.push({ type: "stage-started", step, stage: "prune", iteration, architecture });
    let progress = 0;
    for (let gate = 0; gate < 36; gate++) {
      step += 200;
      const paused = (gate >= 14 && gate < 18) || (gate >= 25 && gate < 26 + index);
      if (!paused) progress = Math.min(1, progress + 1 / 30);
      const sparsity = (0.985 - 0.2 * index) * (1 - (1 - progress) ** 3);
      const score = paused ? 380 + 90 * draw() : Math.min(500, 478 + 24 * draw());
      const nonZero = Math.round(total * (1 - sparsity));
      events.push({
        type: "pruned",
        step,
        iteration,
        progress,
        sparsity,
        nonZero,
        loss: 0.02 + 0.01 * draw(),
        score: quick(score),
        paused,
        saved: !paused,
      });
    }
    const sparsity = 0.985 - 0.2 * index;
    const next = networks[index + 1] ?? dense(4, [4, 3], 2, "q-values");
    events.push({
      type: "redundancy",
      step,
      iteration,
      architecture,
      sparsity,
      layers: layoutOf(architecture).map((layer, at) => ({
        name: layer.name,
        weights: layer.weights.length,
        nonZero: Math.ceil(layer.weights.length * (1 - sparsity) * (layer.weights.length < 2000 ? 4 - index : 0.7)),
        units: layer.outputs,
        liveUnits:
          next.layers.length === architecture.layers.length
            ? (next.layers[at]?.units ?? 1)
            : Math.ceil(layer.outputs * 0.6),
      })),
    });
    take(architecture, "prune", iteration, 486 + 8 * draw(), 50, true);
    events.push({
      type: "resized",
      step,
      iteration,
      from: architecture,
      to: next,
      fromWeights: total,
      toWeights: countsOf(next).weights,
    });
    for (let start = 0; start < 2; start++) {
      step += 3000;
      const score = 484 + 15 * draw();
      events.push({
        type: "candidate",
        step,
        stage: "distill",
        iteration,
        start,
        architecture: next,
        weights: countsOf(next).weights,
        loss: 0.01,
        agreement: 0.97,
        score: quick(score),
        passed: true,
      });
      take(next, "distill", iteration, score, 50, true);
    }
  }

  for (const hidden of [[4, 2], [3, 2], [2, 2], [3], [2], [1], []]) {
    const architecture = dense(4, hidden, 2, "q-values");
    const weights = countsOf(architecture).weights;
    for (let start = 0; start < 4; start++) {
      step += 3000;
      const passed = hidden.length === 0 ? start < 2 : draw() > 0.25 + 1.2 / weights;
      const score = passed ? 478 + 22 * draw() : 60 + 380 * draw();
      events.push({
        type: "candidate",
        step,
        stage: "squeeze",
        iteration: 4,
        start,
        architecture,
        weights,
        loss: 0.02,
        agreement: 0.93,
        score: quick(score),
        passed,
      });
      take(architecture, "squeeze", 4, score, 50, passed);
    }
  }
  const failed = dense(4, [1], 2, "q-values");
  for (const [architecture, score] of [
    [failed, scoreOf(431.2, 150)],
    [policy.architecture, scoreOf(498.3, 11)],
  ] as const) {
    const passed = score.lower95 >= 475;
    const weights = countsOf(architecture).weights;
    events.push({ type: "proof", step, role: "candidate", architecture, weights, score, objective: 475, passed });
    take(architecture, "proof", 4, score.mean, score.episodes, passed);
  }
  const answer = sideOf(policy, scoreOf(498.3, 11), 0.09);
  events.push({
    type: "answer",
    step,
    architecture: policy.architecture,
    weights: 8,
    teacherWeights: 99584,
    ratio: 8 / 99584,
    score: answer.score,
    smaller: true,
  });

  return {
    result: {
      version: 1,
      environment: "CartPole-v1",
      measure: "return",
      acting: "greedy",
      seed: 1,
      preset: "CartPole-v1",
      objective: 475,
      teacher: sideOf(teacher, teacherScore, 71.4),
      policy: answer,
      ratio: 8 / 99584,
      smaller: true,
      steps,
      seconds: { teacher: 24.1, prune: 41.7, distill: 12.9, squeeze: 17.4, proof: 0.8, total: 96.9 },
      versions: { "pops-rl": "0.1.0", node: "20.19.0", "onnxruntime-node": "1.30.0" },
    },
    events,
    config:
      "environment: CartPole-v1\nseed: 1\nteacher:\n  algorithm: dqn\n  learningRate: 0.0005\n  batchSize: 128\npruning:\n  objective: 475\n  gate: 50 # episodes\n",
    teacher,
    policy,
  };
}

/** Nature's network on images, or one of its kind with other filters and hidden units. */
export function imageNetwork(filters: readonly [number, number, number], hidden: readonly number[]): Architecture {
  const convolutions = [
    { kernel: [8, 8], stride: [4, 4] },
    { kernel: [4, 4], stride: [2, 2] },
    { kernel: [3, 3], stride: [1, 1] },
  ] as const;
  return {
    ...dense(1, hidden, 3, "logits"),
    input: [4, 84, 84],
    normalization: { mean: [0], deviation: [255] },
    layers: [
      ...convolutions.map(({ kernel, stride }, l): Convolution => {
        return { kind: "conv", units: filters[l]!, kernel: [...kernel], stride: [...stride], activation: "relu" };
      }),
      ...dense(1, hidden, 3, "logits").layers,
    ],
  };
}

/** A run of networks over images, whose first pruning found what was redundant in the teacher. */
export function imageRun(): ReportInput {
  const run = cartPoleRun({ imported: true });
  const teacher = policyOf(imageNetwork([32, 64, 64], [512]), 3);
  const policy = policyOf(imageNetwork([3, 5, 4], [6]), 5);
  const [teacherSide, policySide] = [sideOf(teacher, scoreOf(20.6, 0.8), 9000), sideOf(policy, scoreOf(19.9, 1), 240)];
  const alive = [9, 14, 20, 33, 3];
  let iteration = 0;
  const events = run.events.map((event): Event => {
    if (event.type !== "redundancy" || ++iteration > 1) return event;
    const { architecture } = teacher;
    const layers = layoutOf(architecture).map(({ name, outputs, weights }, l) => {
      return { name, weights: weights.length, nonZero: 40 * (l + 1), units: outputs, liveUnits: alive[l]! };
    });
    return { ...event, architecture, layers };
  });
  const ratio = policySide.weights / teacherSide.weights;
  return {
    ...run,
    events,
    teacher,
    policy,
    result: { ...run.result, environment: "Pong-v0", objective: 18, teacher: teacherSide, policy: policySide, ratio },
  };
}

/** The same run on a task with negative scores, in which no smaller policy passed. */
export function nothingSmallerRun(): ReportInput {
  const run = cartPoleRun({ imported: true });
  const score = { ...scoreOf(-98.2, 20, 100), min: -200 };
  const teacher = sideOf(run.teacher as Policy, score, 71.4);
  return {
    ...run,
    policy: run.teacher,
    events: run.events.filter((event) => event.type !== "proof" && event.type !== "answer" && event.type !== "resized"),
    result: {
      ...run.result,
      environment: "Acrobot-v1",
      preset: "default",
      objective: -110,
      teacher,
      policy: teacher,
      ratio: 1,
      smaller: false,
      steps: run.result.steps.map((step) => ({ ...step, score: -130 - step.score / 2, passed: false })),
    },
  };
}

/** The same run without an environment: scores are agreements on logged blocks. */
export function observationsRun(): ReportInput {
  const run = cartPoleRun({ imported: true });
  const share = ({ mean, sd, min, lower95, interval95, episodes }: Score): Score => ({
    mean: mean / 500,
    sd: sd / 500,
    min: Math.max(0, min / 500),
    lower95: lower95 / 500,
    interval95: [interval95[0] / 500, interval95[1] / 500],
    episodes: Math.min(25, episodes),
  });
  const { environment, ...result } = run.result;
  const itself = { mean: 1, sd: 0, min: 1, lower95: 1, interval95: [1, 1] as [number, number], episodes: 25 };
  return {
    ...run,
    config: "observations:\n  file: /data/CartPole-v1.npz\nseed: 1\n",
    events: run.events.map((event): Event => {
      if (event.type === "proof") return { ...event, score: share(event.score), objective: 0.95 };
      if (event.type !== "pruned" && event.type !== "candidate") return event;
      const { mean, sd, min } = event.score;
      return { ...event, score: { mean: mean / 500, sd: sd / 500, min: Math.max(0, min / 500), episodes: 15 } };
    }),
    result: {
      ...result,
      measure: "agreement",
      observations: {
        file: `${environment ?? ""}.npz`,
        sha256: "0123456789abcdef".repeat(4),
        by: "block",
        training: { units: 60, observations: 60_000 },
        selection: { units: 15, observations: 15_000 },
        proof: { units: 25, observations: 25_000 },
        tolerance: 0.05,
      },
      objective: 0.95,
      teacher: { ...result.teacher, score: itself },
      policy: { ...result.policy, score: share(result.policy.score), divergence: { kl: 0.0123 } },
      steps: result.steps.map((step) => ({ ...step, score: step.score / 500, episodes: Math.min(25, step.episodes) })),
    },
  };
}

/** The same run of a teacher that is a black box; as its own answer where nothing smaller passed. */
export function blackBoxRun(smaller = true): ReportInput {
  const run = smaller ? cartPoleRun({ imported: true }) : nothingSmallerRun();
  const model = {
    value: "q",
    dtype: "float32",
    nodes: 17,
    weights: 99_584,
    nonZero: 99_000,
    biases: 642,
    bytes: 400_904,
    macs: 99_584,
  } as const;
  const architecture = { input: [4], model, outputs: 2, head: "q-values" } as const;
  const teacher: BlackBoxPolicy = {
    architecture: { ...architecture, input: [4] },
    model: new Uint8Array(0),
    file: new Uint8Array(0),
    rows: 64,
    provenance: {},
  };
  const side = { ...run.result.teacher, architecture: teacher.architecture, layers: "4-[onnx]-2" };
  return {
    ...run,
    teacher,
    policy: smaller ? run.policy : teacher,
    result: { ...run.result, teacher: side, policy: smaller ? run.result.policy : side },
  };
}
