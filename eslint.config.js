import tseslint from "typescript-eslint";

/**
 * Files whose typed-array loops index inside bounds that the loop itself states. `array[i]!` is allowed there and
 * nowhere else; everything else handles `undefined`.
 */
const kernels = [
  "src/random/**",
  "src/environment/**",
  "src/replay/**",
  "src/network/**",
  "src/pruning/**",
  "src/shrinking/**",
  "src/evaluation/**",
  "src/distillation/**",
  "src/tensor/**",
  "src/teacher/**",
  "src/importing/**",
  "src/exporting/**",
  "src/observations/**",
  "src/quantization/**",
  "test/**",
  "bench/**",
];

/** Algorithms are deterministic: randomness comes from named streams, time from nowhere. */
const noClocks = [
  { object: "Math", property: "random", message: "Draw from a named stream (src/random)." },
  { object: "Date", property: "now", message: "Algorithms never read the clock." },
  { object: "performance", property: "now", message: "Algorithms never read the clock." },
];

export default tseslint.config(
  { ignores: ["dist/**", "node_modules/**", "runs/**", "coverage/**"] },
  {
    files: ["**/*.ts"],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true, allowBoolean: true }],
      "@typescript-eslint/switch-exhaustiveness-check": "error",
      "no-restricted-properties": ["error", ...noClocks],
      "no-console": "error",
    },
  },
  { files: kernels, rules: { "@typescript-eslint/no-non-null-assertion": "off" } },
  {
    files: ["src/cli/**", "src/run/**", "src/report/**", "test/**", "bench/**"],
    rules: { "no-restricted-properties": ["error", noClocks[0]] },
  },
  { files: ["bench/**"], rules: { "no-console": "off" } },
);
