import { defineConfig } from "vitest/config";

/** Tests that need no program beside Node.js: what `npm run check` runs all day. */
const PURE = [
  "test/architecture.test.ts",
  "test/contract/**/*.test.ts",
  "test/kit/**/*.test.ts",
  "test/**/{plan,score,filter,diagnose,report,routes,preflight,layers,image,cri-config,world}*.test.ts",
];

export default defineConfig({
  test: {
    maxWorkers: 2,
    reporters: ["default", "./test/support/closing-line.ts"],
    projects: [
      { test: { name: "pure", include: PURE } },
      {
        test: {
          name: "real",
          include: ["test/**/*.test.ts"],
          exclude: PURE,
          globalSetup: ["test/support/global-setup.ts"],
          testTimeout: 20_000,
          hookTimeout: 30_000,
        },
      },
    ],
  },
});
