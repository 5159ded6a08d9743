/** The rules of the house (docs/architecture.md): who may import whom. Everything not listed for a folder is refused. */
const mayImport = {
  errors: [],
  plain: [],
  shape: [],
  files: [],
  memory: [],
  crc32c: [],
  safetensors: [],
  seal: [],
  thread: [],
  events: ["network"],
  random: [],
  tensor: [],
  environment: ["random", "thread"],
  network: ["random", "tensor", "environment"],
  replay: ["random"],
  evaluation: ["random", "network", "environment", "tensor", "quantization"],
  teacher: ["events", "random", "tensor", "network", "environment", "replay", "evaluation"],
  pruning: ["events", "random", "tensor", "network", "environment", "evaluation", "distillation"],
  distillation: ["events", "random", "tensor", "network", "environment", "replay", "evaluation"],
  shrinking: ["random", "network"],
  quantization: ["tensor", "network", "replay"],
  observations: ["random", "thread", "network", "importing"],
  pops: ["events", "teacher", "random", "thread", "tensor", "network", "environment", "replay", "evaluation", "observations", "pruning", "distillation", "shrinking", "quantization"],
  importing: ["network", "environment", "tensor"],
  exporting: ["quantization", "random", "network", "environment", "tensor", "importing"],
  verification: ["random", "replay", "tensor", "environment", "network", "evaluation", "quantization", "exporting"],
  run: ["events", "network"],
  report: ["events", "run", "network", "evaluation"],
  page: ["environment", "evaluation", "exporting", "network", "report"],
  cli: [".*"],
};

const everyone = ["errors", "plain", "shape", "files", "memory", "crc32c", "safetensors", "seal"];
const algorithms = Object.entries(mayImport).map(([folder, allowed]) => ({
  name: `house-${folder}`,
  severity: "error",
  from: { path: `^src/${folder}[/.]` },
  to: { path: "^src/", pathNot: `^src/(${[folder, ...everyone, ...allowed].join("|")})[/.]` },
}));

module.exports = {
  forbidden: [
    ...algorithms,
    { name: "no-cycles", severity: "error", from: {}, to: { circular: true } },
    {
      name: "no-unlisted-folder",
      severity: "error",
      from: { path: "^src/", pathNot: `^src/(index|${Object.keys(mayImport).join("|")})[/.]` },
      to: {},
    },
    {
      name: "onnxruntime-without-telemetry",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/tensor/onnxruntime[.]ts$" },
      to: { path: "node_modules/onnxruntime-node" },
    },
    { name: "no-dev-dependency", severity: "error", from: { path: "^src/" }, to: { dependencyTypes: ["npm-dev"] } },
  ],
  options: { tsConfig: { fileName: "tsconfig.json" }, tsPreCompilationDeps: true, doNotFollow: { path: "node_modules" } },
};
