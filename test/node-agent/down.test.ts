import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { mountPoints } from "../../node-agent/host/mounts.ts";
import { eventually } from "../support/eventually.ts";
import { startNode, type TestNode } from "../support/node.ts";
import { aPod } from "../support/pods.ts";

let node: TestNode;

beforeAll(async () => {
  node = await startNode();
  await node.startAgent();
});
afterAll(() => node[Symbol.asyncDispose]());

async function down(
  env: Readonly<Record<string, string>>,
): Promise<{ code: number; words: string }> {
  const main = join(import.meta.dirname, "../../node-agent/down.ts");
  const child = spawn(process.execPath, [main], { env, stdio: ["ignore", "pipe", "inherit"] });
  let words = "";
  child.stdout.on("data", (chunk: Buffer) => {
    words += chunk.toString();
  });
  const [code] = await once(child, "exit");
  return { code, words };
}

test("down says so when the runtime cannot be asked, and leaves nothing when it can, however often", async () => {
  const image = `waybill.internal/apps/web@${node.busybox.digest}`;
  const pods = [
    aPod({ image, volumes: ["scratch"] }),
    aPod({ image, name: "web-2", command: ["/bin/nothing"] }),
  ];
  node.api.wish(pods);
  await eventually(() => expect(node.api.reports[0]?.pods[0]?.ready).toBe(true), {
    withinMs: 15_000,
  });
  node.agent()?.kill("SIGKILL");

  const away = await down({ ...node.env, CONTAINER_RUNTIME_ENDPOINT: "unix:///run/nothing.sock" });
  const first = await down(node.env);
  const second = await down(node.env);

  expect(away).toMatchObject({ code: 1, words: expect.stringContaining("some pods may be left") });
  expect([first.code, second.code]).toEqual([0, 0]);
  const groups = await readdir("/sys/fs/cgroup/pids");
  expect(groups).not.toContain(node.containerd.installation);
  expect(
    (await mountPoints()).filter((it) => it.startsWith(join(node.containerd.dir, "agent"))),
  ).toEqual([]);
  expect(
    (await mountPoints())
      .filter((it) => it.includes("/rootfs"))
      .filter((it) => it.startsWith(`/run/${node.containerd.installation}/`)),
  ).toEqual([]);
});
