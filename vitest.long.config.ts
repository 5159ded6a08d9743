import { defineConfig } from "vitest/config";
import shared from "./vitest.config.ts";

/** `npm run test:long`: what takes too long for every change, mutations of files by the hundred thousand among it. */
export default defineConfig({
  test: {
    ...shared.test,
    include: ["test/long/**/*.test.ts", "test/**/mutations.test.ts"],
    exclude: [],
    env: { POPS_LONG: "1" },
    testTimeout: 3_600_000,
  },
});
