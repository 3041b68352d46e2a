import { defineConfig } from "vitest/config";

/** Tests that need no program beside Node.js: what `npm run check` runs all day. */
const PURE = [
  "test/architecture.test.ts",
  "test/contract/**/*.test.ts",
  "test/kit/**/*.test.ts",
  "test/**/{plan,score,filter,diagnose,report,routes,preflight,layers,image,cri-config,world}*.test.ts",
];

/** Nothing is judged by its time: this only ends what hangs, on a busy machine too. */
const TEST_MS = 60_000;

export default defineConfig({
  test: {
    maxWorkers: 2,
    reporters: ["default", "./test/support/closing-line.ts"],
    projects: [
      { test: { name: "pure", include: PURE, testTimeout: TEST_MS } },
      {
        test: {
          name: "real",
          include: ["test/**/*.test.ts"],
          exclude: PURE,
          globalSetup: ["test/support/global-setup.ts"],
          testTimeout: TEST_MS,
          hookTimeout: TEST_MS,
        },
      },
    ],
  },
});
