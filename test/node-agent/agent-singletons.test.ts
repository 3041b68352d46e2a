import { readFile } from "node:fs/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { SINGLETON } from "../../contract/placement/strategy.ts";
import type { Pod } from "../../contract/pod/pod.ts";
import { LABELS } from "../../node-agent/runtime/labels.ts";
import type { Runtime } from "../../node-agent/runtime/runtime.ts";
import { eventually } from "../support/eventually.ts";
import { type MemoryHost, openMemoryHost } from "../support/memory-agent.ts";
import { type MemoryRuntime, openMemoryRuntime } from "../support/memory-runtime.ts";
import { A_DIGEST, aPod } from "../support/pods.ts";

/*
 * The whole agent over a runtime in memory, at the moments in which a pod that may run once might run
 * twice: the control plane takes it for ended when a report no longer names it.
 */

const image = `waybill.internal/apps/web@${A_DIGEST}`;
const IMAGES = [image, "waybill.internal/base/pause:1"];
const aWeb = (name: string) => aPod({ name, image, container: { readinessProbe: undefined } });
const plain = aWeb("web-1");
const another = aWeb("web-2");
const single = {
  ...another,
  metadata: { ...another.metadata, annotations: { [SINGLETON]: "true" } },
};
let host: MemoryHost;
let runtime: MemoryRuntime;

beforeEach(async () => {
  host = await openMemoryHost();
  runtime = openMemoryRuntime(IMAGES);
});
afterEach(async () => {
  await host[Symbol.asyncDispose]();
});

/** The runtime, whose answer to this call waits for `open`; `asked` resolves when somebody waits for it. */
function gated(call: "list" | "runSandbox") {
  const asked = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  const ask = runtime[call] as (...args: readonly unknown[]) => Promise<unknown>;
  const waiting = async (...args: readonly unknown[]) => {
    asked.resolve();
    await gate.promise;
    return ask(...args);
  };
  const gatedRuntime = { ...runtime, [call]: waiting } as Runtime;
  return { runtime: gatedRuntime, asked: asked.promise, open: gate.resolve };
}

const reportOf = (generation: number) =>
  host.api.reports.find((it) => it.observedGeneration === generation);

/** The pods whose container runs. */
async function running(): Promise<readonly (string | undefined)[]> {
  const { sandboxes, containers } = await runtime.list();
  const ids = containers.filter((it) => it.state === "running").map((it) => it.sandboxId);
  return sandboxes.filter((it) => ids.includes(it.id)).map((it) => it.labels[LABELS.pod]);
}

async function runs(...pods: readonly Pod[]): Promise<void> {
  host.startAgent(runtime);
  host.api.wish([...pods]);
  await eventually(async () => expect(await running()).toHaveLength(pods.length));
}

test("a pod whose sandbox is still being made is there for all who ask, though nobody wants it", async () => {
  const making = gated("runSandbox");
  host.startAgent(making.runtime);
  host.api.wish([single]);
  await making.asked;

  host.api.wish([]);
  await eventually(() => expect(reportOf(2)).toBeDefined());
  expect(reportOf(2)?.pods).toMatchObject([{ pod: single.metadata.uid, phase: "Terminating" }]);
  making.open();

  await eventually(() => expect(host.api.reports[0]?.pods).toEqual([]));
  expect((await runtime.list()).sandboxes).toEqual([]);
});

test("after a boot an outdated wish starts no singleton, though the api answers during the first look", async () => {
  await runs(single);
  await host.endAgent();
  host.api.wish([]);

  // Nothing is left there that would be waited for before it is made anew.
  runtime = openMemoryRuntime(IMAGES);
  const looking = gated("list");
  const made: string[] = [];
  const runSandbox: Runtime["runSandbox"] = (config, handler) => {
    made.push(config.metadata.uid);
    return runtime.runSandbox(config, handler);
  };
  host.startAgent({ ...looking.runtime, runSandbox });
  await looking.asked;
  await eventually(async () =>
    expect(await readFile(host.ledgerFile, "utf8")).toContain('"pods":[]'),
  );
  looking.open();

  await eventually(() => expect(reportOf(2)?.pods).toEqual([]));
  expect(made).toEqual([]);
});

test.each([401, 403, 409])(
  "while the api refuses this agent with %i, a singleton that died stays so, and nothing else does",
  async (status) => {
    await runs(single, plain);
    host.api.answerWith({ status, body: "{}" });
    const before = host.api.answered();
    await eventually(() => expect(host.api.answered()).toBeGreaterThanOrEqual(before + 2));

    runtime.reboot();
    await eventually(async () => expect(await running()).toEqual([plain.metadata.uid]));
    host.api.answerWith(undefined);

    await eventually(async () => expect(await running()).toHaveLength(2));
  },
);
