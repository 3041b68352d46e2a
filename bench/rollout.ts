import { once } from "node:events";
import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually } from "../test/support/eventually.ts";
import { anApp, deploy } from "../test/support/lab/an-app.ts";
import { type Lab, openLab } from "../test/support/lab/lab.ts";
import { aLoad, type Load, type LoadPlan, type LoadReport } from "../test/support/lab/load.ts";
import { measurePairs, median, timed } from "./pairs.ts";

const HOSTS = 3;
const REPLICAS = 2;
const PAIRS = 9;
/** Rollouts follow one another for so long, and then there is none for as long. */
const WINDOW_MS = 24_000;
/** The load is half of the most that is answered like this while nothing else happens. */
const CALM_P99_MS = 20;
const TRIAL_MS = 4_000;
const FIRST_PER_SECOND = 100;
const LEAST_PER_SECOND = 50;
const APP = "web";

type Window = { readonly ours: LoadReport; readonly control: LoadReport };

/** What people notice of rollouts: requests that fail, and how much longer the slow ones take. */
export async function run(): Promise<object> {
  await using lab = await openLab({ hosts: HOSTS });
  await rollOut(lab, 0);
  await eventually(
    async () => {
      for (const host of lab.hosts) {
        const { status } = await host.visit(`${APP}.localhost`);
        if (status !== 200) throw new Error(`${host.name} answers ${status}`);
      }
    },
    { withinMs: 30_000 },
  );
  const perSecond = await calmRate(lab);
  const floor = await bareServer(perSecond);
  await using load = await aLoad(planFor(lab, perSecond));
  const { windows, rollouts, rolloutMs } = await measure(lab, load);
  const results = {
    perSecond,
    rollouts,
    rolloutMs: median(rolloutMs),
    sent: sum(windows, (it) => it.ours.sent + it.control.sent),
    sentDuringRollouts: sum(windows, (it) => it.ours.sent),
    failed: sum(windows, (it) => it.ours.failed),
    failedInControl: sum(windows, (it) => it.control.failed),
    failures: windows.flatMap((it) => [...it.ours.failures, ...it.control.failures]).slice(0, 20),
    p50: ratios(windows, "p50"),
    p99: ratios(windows, "p99"),
    floor,
  };
  print(results);
  return results;
}

async function measure(lab: Lab, load: Load) {
  const [ours, control]: [LoadReport[], LoadReport[]] = [[], []];
  const rolloutMs: number[] = [];
  let version = 0;
  let windowMs = 0;
  await measurePairs("p99 during rollouts, and during none", PAIRS, {
    ours: async () => {
      await load.lap();
      const startedMs = performance.now();
      while (performance.now() - startedMs < WINDOW_MS)
        rolloutMs.push(await timed(() => rollOut(lab, ++version)));
      windowMs = performance.now() - startedMs;
      ours.push(await load.lap());
      return ours.at(-1)?.tookMs.p99 ?? Number.NaN;
    },
    baseline: async () => {
      await load.lap();
      await sleep(windowMs);
      control.push(await load.lap());
      return control.at(-1)?.tookMs.p99 ?? Number.NaN;
    },
  });
  // The first of each was the warm-up: its times do not count, but its failures would.
  const all = ours.map((it, at): Window => ({ ours: it, control: control[at] as LoadReport }));
  return { windows: all, rollouts: version, rolloutMs };
}

async function rollOut({ controlPlane }: Lab, version: number): Promise<void> {
  const spec = anApp(APP, { replicas: REPLICAS, version: `v${version}` });
  const { status, body } = await deploy(controlPlane, spec);
  if (status !== 200) throw new Error(`release ${version} is not live: ${JSON.stringify(body)}`);
}

function planFor({ hosts }: Lab, perSecond: number): LoadPlan {
  const to = hosts.map(({ ingress }) => ({ ...ingress, host: `${APP}.localhost` }));
  return { to, perSecond: perSecond / to.length, keepAlive: true };
}

/** Doubles the load until it is felt, and answers half of the last that was not. */
async function calmRate(lab: Lab): Promise<number> {
  for (let perSecond = FIRST_PER_SECOND; ; perSecond *= 2) {
    await using load = await aLoad(planFor(lab, perSecond));
    await sleep(TRIAL_MS);
    const { failed, tookMs } = await load.stop();
    process.stderr.write(`  ${perSecond} a second: p99 ${tookMs.p99.toFixed(1)} ms\n`);
    if (failed > 0 || tookMs.p99 > CALM_P99_MS) return Math.max(perSecond / 4, LEAST_PER_SECOND);
  }
}

/** The same load on a bare Node.js server on loopback: what the load's own process needs. */
async function bareServer(perSecond: number): Promise<LoadReport["tookMs"]> {
  const server = createServer((_, answer) => answer.end("one two three\n")).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const target = { address: "127.0.0.1", port, host: "floor" };
  await using load = await aLoad({ to: [target], perSecond, keepAlive: true });
  await sleep(TRIAL_MS);
  const { tookMs } = await load.stop();
  server.close();
  return tookMs;
}

function ratios(windows: readonly Window[], which: "p50" | "p99") {
  const counted = windows.slice(1);
  const of = counted.map(({ ours, control }) => ours.tookMs[which] / control.tookMs[which]);
  return {
    oursMs: counted.map((it) => it.ours.tookMs[which]),
    controlMs: counted.map((it) => it.control.tookMs[which]),
    medianRatio: median(of),
    worstRatio: Math.max(...of),
  };
}

function sum(windows: readonly Window[], what: (window: Window) => number): number {
  return windows.reduce((total, it) => total + what(it), 0);
}

type Results = {
  readonly perSecond: number;
  readonly rollouts: number;
  readonly rolloutMs: number;
  readonly sent: number;
  readonly sentDuringRollouts: number;
  readonly failed: number;
  readonly failedInControl: number;
  readonly p50: ReturnType<typeof ratios>;
  readonly p99: ReturnType<typeof ratios>;
  readonly floor: LoadReport["tookMs"];
};

function print(it: Results): void {
  console.log(
    `\n10. ${it.rollouts} rollouts of ${REPLICAS} pods on ${HOSTS} hosts, one after the other (median ${Math.round(it.rolloutMs)} ms), under ${it.perSecond} requests a second`,
  );
  console.log("  baseline: the same load for the same time, and no rollout");
  console.table(
    Object.fromEntries(
      (["p50", "p99"] as const).map((which) => [
        which,
        {
          "ours, median ms": Number(median(it[which].oursMs).toFixed(1)),
          "baseline, median ms": Number(median(it[which].controlMs).toFixed(1)),
          "median ratio": Number(it[which].medianRatio.toFixed(2)),
          "worst ratio": Number(it[which].worstRatio.toFixed(2)),
          "floor ms": Number(it.floor[which].toFixed(1)),
        },
      ]),
    ),
  );
  console.log(
    `  failed: ${it.failed} of ${it.sentDuringRollouts} during rollouts, ${it.failedInControl} of ${it.sent - it.sentDuringRollouts} without (target: 0 of 1,000,000 over 100)`,
  );
  console.log(`  ${PAIRS} pairs; target: p99 at most 1.25 of the baseline's`);
  console.log("  floor: the same load on a bare Node.js server on loopback");
}
