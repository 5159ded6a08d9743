import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["./test/build.ts"],
    setupFiles: ["./test/setup.ts"],
    exclude: ["test/long/**"],
    reporters: ["default", "./test/closing-line.ts"],
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
