/** The rules of the house (docs/architecture.md): who may import whom. Everything not listed for a folder is refused. */
const mayImport = {
  errors: [],
  random: ["errors"],
  tensor: ["errors"],
  environment: ["errors", "random"],
  network: ["errors", "random", "tensor", "environment"],
  replay: ["errors", "random"],
  evaluation: ["errors", "random", "network", "environment", "tensor"],
  teacher: ["errors", "random", "tensor", "network", "environment", "replay", "evaluation"],
  pruning: ["errors", "random", "tensor", "network", "environment", "evaluation", "distillation"],
  distillation: ["errors", "random", "tensor", "network", "environment", "replay", "evaluation"],
  shrinking: ["errors", "random", "network"],
  pops: ["errors", "random", "network", "environment", "evaluation", "pruning", "distillation", "shrinking"],
  importing: ["errors", "network", "environment", "tensor"],
  exporting: ["errors", "network", "environment", "tensor", "importing"],
  run: ["errors"],
  report: ["errors", "run", "network"],
  cli: [".*"],
};

const algorithms = Object.entries(mayImport).map(([folder, allowed]) => ({
  name: `house-${folder}`,
  severity: "error",
  from: { path: `^src/${folder}[/.]` },
  to: { path: "^src/", pathNot: `^src/(${[folder, ...allowed].join("|")})[/.]` },
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
    { name: "no-dev-dependency", severity: "error", from: { path: "^src/" }, to: { dependencyTypes: ["npm-dev"] } },
  ],
  options: { tsConfig: { fileName: "tsconfig.json" }, tsPreCompilationDeps: true, doNotFollow: { path: "node_modules" } },
};
