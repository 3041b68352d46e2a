import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect, test } from "vitest";
import { eventually } from "./support/eventually.ts";
import { leftovers } from "./support/leftovers.ts";

const RUNNER = join(import.meta.dirname, "support/doomed-runner.ts");

test("a test runner that is killed leaves no process, mount, link, cgroup or file behind", {
  timeout: 300_000,
}, async () => {
  const runner = spawn(process.execPath, [RUNNER], { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = await once(createInterface(runner.stdout), "line");
  const { folder, traces } = JSON.parse(line) as { folder: string; traces: string[] };
  expect((await leftovers(traces)).length).toBeGreaterThan(10);

  runner.kill("SIGKILL");

  await eventually(
    async () => {
      expect(await leftovers(traces)).toEqual([]);
      expect(existsSync(folder)).toBe(false);
    },
    { withinMs: 120_000, everyMs: 250 },
  );
});
