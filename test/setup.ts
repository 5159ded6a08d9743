import fc from "fast-check";

/** The seed of all properties: with one that is fixed, a test's verdict is that of the code alone. */
const { POPS_TEST_SEED = "1" } = process.env;
fc.configureGlobal({ seed: Number(POPS_TEST_SEED) });
