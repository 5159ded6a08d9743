import { defineConfig } from "vitest/config";
import shared from "./vitest.config.ts";

/** `npm run test:long`: what takes too long for every change. */
export default defineConfig({
  test: { ...shared.test, include: ["test/long/**/*.test.ts"], exclude: [], testTimeout: 3_600_000 },
});
