import { randomUUID } from "node:crypto";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { NodeId } from "../../contract/ids.ts";
import { type NodeReport, PodStatus } from "../../contract/node/protocol.ts";
import { openLog } from "../../kit/log.ts";
import type { ApiClient } from "../../node-agent/api/client.ts";
import { openNodeFacts } from "../../node-agent/report/node-facts.ts";
import { openReporter, type Reporter } from "../../node-agent/report/reporter.ts";
import { eventually } from "../support/eventually.ts";

const fixed = {
  bootId: "b",
  version: "1",
  capacity: { cpuMillis: 1, memoryBytes: 1, pods: 1 },
};
const node = NodeId.parse(randomUUID());
let ending = new AbortController();
let reporter: Reporter;
let sent: NodeReport[] = [];
let lines: string[] = [];

beforeEach(() => {
  ending = new AbortController();
  [sent, lines] = [[], []];
  const client = {
    async putReport(_node: NodeId, report: NodeReport) {
      sent.push(report);
      return { kind: "sent" } as const;
    },
  } as unknown as ApiClient;
  const log = openLog("test", (line) => lines.push(line));
  reporter = openReporter({ client, signal: ending.signal, log });
});
afterEach(async () => {
  ending.abort();
  await reporter.done;
});

const aStatus = (said: Partial<PodStatus> = {}) => ({
  ...PodStatus.parse({
    pod: randomUUID(),
    phase: "Running",
    ready: true,
    restarts: 0,
    containers: [],
  }),
  ...said,
});
const offer = (...pods: PodStatus[]) =>
  reporter.offer(node, { ...fixed, handlers: [], purgedVolumes: [], observedGeneration: 1, pods });

test("a pod that does not fit into a report takes no other with it, and is complained about once", async () => {
  const [fine, odd] = [aStatus(), aStatus({ reason: "x".repeat(501) })];

  offer(fine, odd);
  await eventually(() => expect(sent).toHaveLength(1));
  offer({ ...fine, ready: false }, odd);
  await eventually(() => expect(sent).toHaveLength(2));

  expect(sent[0]?.pods).toEqual([fine, { ...odd, reason: expect.stringContaining("not fit") }]);
  expect(lines.filter((it) => it.includes(odd.pod))).toHaveLength(1);
});

test("a runtime that does not tell its handlers any more is believed what it told last", async () => {
  let works = true;
  const troubles: unknown[] = [];
  const runtime = {
    handlers: async () => {
      if (!works) throw new Error("away");
      return ["gvisor"];
    },
  };
  const key = { project: "default", name: "data" } as never;
  const purger = { purged: () => Array.from({ length: 1_001 }, () => key) };
  const node = openNodeFacts(fixed, runtime, purger, (error) => troubles.push(error));
  const clock = vi.spyOn(performance, "now");
  try {
    clock.mockReturnValue(0);
    await node.refresh();
    works = false;
    for (const nowMs of [30_000, 30_001]) {
      clock.mockReturnValue(nowMs);
      await node.refresh();
    }
  } finally {
    clock.mockRestore();
  }

  expect(node.facts().handlers).toEqual(["gvisor"]);
  expect(node.facts().purgedVolumes).toHaveLength(1_000);
  expect(troubles, "it is not asked again at once").toHaveLength(1);
});
