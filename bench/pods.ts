import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { PodStatus } from "../contract/node/protocol.ts";
import type { Pod } from "../contract/pod/pod.ts";
import { startNode, type TestNode } from "../test/support/node.ts";
import { aPod } from "../test/support/pods.ts";
import { cpuSeconds, residentKib } from "../test/support/resident.ts";
import { measurePairs, median, printPairs, timed } from "./pairs.ts";
import { openRawPods, type RawPods } from "./raw-pods.ts";

const PAIRS = 9;
const SINGLE_PAIRS = 45;
const MANY = 60;
const IDLE_MS = 20_000;

type Lab = { readonly node: TestNode; readonly raw: RawPods; readonly image: string };

/** What the agent adds to the raw CRI calls for the same pods, and what it costs while nothing happens. */
export async function run(): Promise<object> {
  await using node = await startNode();
  await node.startAgent();
  await reported(node, [], () => true);
  // One that ends in peace leaves its compiled code to the next, as an installation's first start does.
  await node.endAgent("SIGTERM");
  await node.startAgent();
  const { endpoint, cgroupParent, dir } = node.containerd;
  const raw = openRawPods({ endpoint, cgroup: cgroupParent }, join(dir, "raw"));
  const image = `waybill.internal/${node.busybox.repository}@${node.busybox.digest}`;
  const lab = { node, raw, image };
  try {
    return {
      one: await one(lab),
      many: await many(lab),
      adoption: await adoption(lab),
      idle: await idle(lab),
    };
  } finally {
    raw.close();
  }
}

/** From the wish's change to the report that calls the pod ready, against the three calls. */
async function one(lab: Lab) {
  const pairs = await measurePairs("one pod", SINGLE_PAIRS, waysFor(lab, 1));
  const baseline = "RunPodSandbox, CreateContainer, StartContainer of the same pod";
  printPairs("One pod, from desired to reported ready", baseline, "15 ms above", pairs);
  const above = median(pairs.ours.map((ms, at) => ms - (pairs.baseline[at] ?? Number.NaN)));
  console.log(`  above the raw calls: median ${above.toFixed(1)} ms`);
  return { ...pairs, medianAboveMs: above };
}

async function many(lab: Lab) {
  const pairs = await measurePairs(`${MANY} pods`, PAIRS, waysFor(lab, MANY));
  const baseline = `the same calls for ${MANY} pods, all at once`;
  printPairs(
    `${MANY} pods at once`,
    baseline,
    "0.85x of raw throughput, so a ratio of 1.18",
    pairs,
  );
  console.log(`  throughput: ${(1 / pairs.medianRatio).toFixed(2)}x of raw`);
  return pairs;
}

function waysFor(lab: Lab, count: number) {
  const { node, raw, image } = lab;
  return {
    ours: async () => {
      const pods = somePods(image, count);
      const took = await timed(async () => {
        node.api.wish(pods);
        await reported(node, pods, (it) => it?.ready === true);
      });
      await withoutPods(node, pods);
      return took;
    },
    baseline: async () => {
      const pods = somePods(image, count);
      let made: { sandbox: string }[] = [];
      const took = await timed(async () => {
        made = await Promise.all(pods.map((pod) => raw.run(pod, image)));
      });
      await Promise.all(made.map(({ sandbox }) => raw.remove(sandbox)));
      return took;
    },
  };
}

/** How long a new agent needs until it has taken all pods over, and whether any was started again. */
async function adoption({ node, image }: Lab) {
  const pods = somePods(image, MANY);
  node.api.wish(pods);
  await reported(node, pods, (it) => it?.ready === true);
  const before = starts(node, pods);
  const times: number[] = [];
  for (let round = 0; round < PAIRS; round++) {
    await node.endAgent("SIGKILL");
    node.api.reports.length = 0;
    times.push(
      await timed(async () => {
        await node.startAgent();
        await reported(node, pods, (it) => it?.ready === true);
      }),
    );
  }
  const restarted = pods.length - intersection(before, starts(node, pods));
  await withoutPods(node, pods);
  console.log(`\nAdoption of ${MANY} pods by a new agent process`);
  console.log(
    `  median ${Math.round(median(times))} ms over ${times.length} kills; restarted: ${restarted}`,
  );
  return { times, restarted };
}

async function idle({ node, image }: Lab) {
  const rows: Record<string, { readonly rssMib: number; readonly cpuPercent: number }> = {};
  for (const count of [0, 20, MANY]) {
    await node.endAgent("SIGKILL");
    const pods = somePods(image, count);
    node.api.wish(pods);
    await node.startAgent();
    await reported(node, pods, (it) => it?.ready === true);
    await sleep(5_000);
    const pid = node.agent()?.pid ?? 0;
    const fromSeconds = await cpuSeconds(pid);
    await sleep(IDLE_MS);
    const spent = (await cpuSeconds(pid)) - fromSeconds;
    rows[`${count} pods`] = {
      rssMib: Math.round((await residentKib(pid)) / 1024),
      cpuPercent: Number(((spent / (IDLE_MS / 1_000)) * 100).toFixed(1)),
    };
    await withoutPods(node, pods);
  }
  console.log("\nThe agent while nothing happens (percent of one core)");
  console.table(rows);
  return rows;
}

function somePods(image: string, count: number): Pod[] {
  return Array.from({ length: count }, (_, at) =>
    aPod({
      image,
      name: `pod-${at}`,
      command: ["/bin/sleep", "100000"],
      memory: "16Mi",
      grace: 0,
      container: { readinessProbe: undefined, ports: [] },
    }),
  );
}

async function withoutPods(node: TestNode, pods: readonly Pod[]): Promise<void> {
  node.api.wish([]);
  await reported(node, pods, (it) => it === undefined);
}

/** Resolves with the first report in which every one of the pods is as asked. */
async function reported(
  { api }: TestNode,
  pods: readonly Pod[],
  as: (status: PodStatus | undefined) => boolean,
): Promise<void> {
  const deadline = performance.now() + 180_000;
  for (;;) {
    const seen = new Map(api.reports[0]?.pods.map((it) => [it.pod, it]));
    if (api.reports[0] && pods.every((pod) => as(seen.get(pod.metadata.uid)))) return;
    if (performance.now() > deadline) throw new Error("the agent did not get there in 180 s");
    await sleep(1);
  }
}

/** Each pod's container and when it was started. */
function starts({ api }: TestNode, pods: readonly Pod[]): ReadonlySet<string> {
  const seen = new Map(api.reports[0]?.pods.map((it) => [it.pod, it]));
  return new Set(
    pods.map(
      (pod) => `${pod.metadata.uid} ${seen.get(pod.metadata.uid)?.containers[0]?.startedAt}`,
    ),
  );
}

function intersection(a: ReadonlySet<string>, b: ReadonlySet<string>): number {
  return [...a].filter((it) => b.has(it)).length;
}
