import { setTimeout as sleep } from "node:timers/promises";
import { sql } from "drizzle-orm";
import { renewWish } from "../db/nodes/desired.ts";
import { renewRoutes } from "../db/nodes/routes.ts";
import { cpuSeconds, familyCpuSeconds, residentKib } from "../test/support/resident.ts";
import { nowMs } from "./agents/orders.ts";
import { type Players, startPlayers } from "./agents/players.ts";
import { openStage, type Server, type Stage } from "./agents/stage.ts";
import { median } from "./pairs.ts";

/** As many as two cores carry with those who play them; 20,000 open files would allow 9,000. */
const AGENTS = Number(process.env.WAYBILL_BENCH_AGENTS ?? 4_000);
const ROUNDS = Number(process.env.WAYBILL_BENCH_ROUNDS ?? 3);
const COMMITS = 200;
const SETTLE_MS = 3_000;
const STEADY_MS = 20_000;

type Played = Stage & { readonly players: Players };

/** performance.md's question 6: what an agent costs while it waits, and how fast news get to one and to all. */
export async function run(): Promise<object> {
  console.error(`making ${AGENTS} nodes`);
  await using stage = await openStage(AGENTS);
  await using players = await startPlayers(stage.agents);
  const played = { ...stage, players };
  const rounds: Record<string, Round[]> = { ours: [], bare: [] };
  for (let round = 1; round <= ROUNDS; round++) {
    for (const server of [stage.ours, stage.bare]) {
      const measured = await measure(played, server);
      rounds[server.name]?.push(measured);
      console.error(`  round ${round}, ${server.name}: ${JSON.stringify(measured)}`);
    }
  }
  print(rounds);
  const herd = await restart(played);
  return { agents: AGENTS, rounds, herd };
}

type Round = Readonly<Record<string, number>>;

/** All that one server is asked, from its start with nobody to its end. */
async function measure(stage: Played, server: Server): Promise<Round> {
  const { players } = stage;
  await server.start();
  await fetch(`http://127.0.0.1:${server.port}/healthz`);
  await sleep(SETTLE_MS);
  const emptyKib = await residentKib(server.pid());
  await players.tell({ do: "mark" });
  const arrival = await spending(stage, server, async () => {
    await players.tell({ do: "poll", port: server.port });
    await players.until((it) => it.held === AGENTS && it.told === AGENTS);
    await players.until((it) => it.reported === AGENTS);
  });
  const arrivalFailures = (await players.tell({ do: "count" })).failures;
  await sleep(SETTLE_MS);
  const heldKib = await residentKib(server.pid());
  const one = await oneByOne(stage);
  const routes = await toAll(stage, server, (tx) => renewRoutes(tx));
  const wishes = await toAll(stage, server, raiseAll);
  const steady = await steadily(stage, server);
  const { failures } = await players.tell({ do: "stop" });
  await server.program.end();
  if (Object.keys(failures).length > 0)
    console.error(`  ${server.name} failed: ${JSON.stringify(failures)}`);
  return {
    "KiB an agent": (heldKib - emptyKib) / AGENTS,
    "arrival: CPU an agent, ms": arrival.serverMs / AGENTS,
    "arrival: PostgreSQL an agent, ms": arrival.postgresMs / AGENTS,
    "commit to one, p50 ms": quantile(one, 0.5),
    "commit to one, p99 ms": quantile(one, 0.99),
    "routes to all: half, ms": quantile(routes.result, 0.5),
    "routes to all: last, ms": Math.max(...routes.result),
    "routes to all: CPU an agent, ms": routes.serverMs / AGENTS,
    "wishes to all: half, ms": quantile(wishes.result, 0.5),
    "wishes to all: last, ms": Math.max(...wishes.result),
    "wishes to all: CPU an agent, ms": wishes.serverMs / AGENTS,
    "steady: % of a core": steady.server,
    "steady: PostgreSQL, % of a core": steady.postgres,
    "failed at arrival": sumOf(arrivalFailures),
    "failed later": sumOf(failures),
  };
}

/** What `work` came to, and the time of a core that it took; the latter says the same on a busy machine. */
async function spending<Result>(stage: Played, server: Server, work: () => Promise<Result>) {
  const spent = async () => [
    await cpuSeconds(server.pid()),
    await familyCpuSeconds(stage.postgres.pid),
  ];
  const [server0 = 0, postgres0 = 0] = await spent();
  const result = await work();
  const [server1 = 0, postgres1 = 0] = await spent();
  const [serverMs, postgresMs] = [(server1 - server0) * 1_000, (postgres1 - postgres0) * 1_000];
  return { result, serverMs, postgresMs };
}

function sumOf(failures: Readonly<Record<string, number>>): number {
  return Object.values(failures).reduce((sum, it) => sum + it, 0);
}

type Tx = Parameters<Parameters<Stage["connection"]["db"]["transaction"]>[0]>[0];

/** From just before one node's commit to the moment at which its agent has the answer, ms. */
async function oneByOne({ connection, nodes, players }: Played): Promise<number[]> {
  const took: number[] = [];
  for (let at = 0; at < COMMITS; at++) {
    const node = nodes[(at * 37) % nodes.length];
    if (node === undefined) throw new Error("no nodes");
    await players.tell({ do: "mark" });
    const sentAtMs = await connection.db.transaction(async (tx) => {
      await renewWish(tx, node);
      return nowMs();
    });
    await players.until((it) => it.told === 1, 2);
    const { toldAtMs = [] } = await players.tell({ do: "times" });
    took.push((toldAtMs[0] ?? Number.NaN) - sentAtMs);
  }
  return took;
}

/** The same for a transaction that concerns all: one entry for each agent. */
async function toAll(stage: Played, server: Server, change: (tx: Tx) => Promise<unknown>) {
  const { connection, players } = stage;
  // Each is waiting, and the burst before is over.
  await players.until((it) => it.held === AGENTS);
  await sleep(SETTLE_MS);
  await players.tell({ do: "mark" });
  return await spending(stage, server, async () => {
    const sentAtMs = await connection.db.transaction(async (tx) => {
      await change(tx);
      return nowMs();
    });
    await players.until((it) => it.told === AGENTS);
    const { toldAtMs = [] } = await players.tell({ do: "times" });
    return toldAtMs.map((it) => it - sentAtMs);
  });
}

async function raiseAll(tx: Tx): Promise<void> {
  await tx.execute(sql`
    with raised as (update node_plans set generation = generation + 1 returning node_id)
    select pg_notify('waybill_changes', 'node:' || node_id) from raised`);
}

/** What all of them polling and reporting as ever costs, in percent of a core. */
async function steadily(stage: Played, server: Server) {
  const { players } = stage;
  await players.until((it) => it.held === AGENTS);
  await players.tell({ do: "beat", on: true });
  await sleep(SETTLE_MS);
  const fromMs = nowMs();
  const { result: tookMs, ...spent } = await spending(stage, server, async () => {
    await sleep(STEADY_MS);
    return nowMs() - fromMs;
  });
  await players.tell({ do: "beat", on: false });
  const percent = (ms: number) => (ms / tookMs) * 100;
  return { server: percent(spent.serverMs), postgres: percent(spent.postgresMs) };
}

/** The api is killed and started; all come back at once, ask for all of their wish and report, and others ask too. */
async function restart({ ours, players }: Played) {
  await ours.start();
  await players.tell({ do: "poll", port: ours.port });
  await players.until((it) => it.held === AGENTS && it.reported === AGENTS);
  await sleep(SETTLE_MS);
  await ours.program.end("SIGKILL");
  await players.tell({ do: "stop" });
  await ours.start();
  await players.tell({ do: "mark" });
  const stop = new AbortController();
  const fromMs = nowMs();
  const asking = askForHealth(ours.port, stop.signal);
  await players.tell({ do: "poll", port: ours.port });
  await players.until((it) => it.held === AGENTS && it.reported === AGENTS, 50);
  const { toldAtMs = [], reportedAtMs = [], failures } = await players.tell({ do: "times" });
  stop.abort();
  const health = await asking;
  await players.tell({ do: "stop" });
  const herd = {
    "all told after, ms": Math.max(...toldAtMs) - fromMs,
    "all reported after, ms": Math.max(...reportedAtMs) - fromMs,
    "healthz p50, ms": quantile(health, 0.5),
    "healthz p99, ms": quantile(health, 0.99),
    "healthz worst, ms": Math.max(...health),
    "resident MiB": Math.round((await residentKib(ours.pid())) / 1024),
  };
  console.log(`\nThe api comes back, and ${AGENTS} agents at once, with nothing in hand`);
  console.table(rounded(herd));
  console.log(`  failed calls: ${JSON.stringify(failures)}`);
  return { ...herd, failures };
}

async function askForHealth(port: number, signal: AbortSignal): Promise<number[]> {
  const took: number[] = [];
  while (!signal.aborted) {
    const fromMs = nowMs();
    await fetch(`http://127.0.0.1:${port}/healthz`).then((it) => it.text());
    took.push(nowMs() - fromMs);
    await sleep(20);
  }
  return took;
}

function print(rounds: Readonly<Record<string, readonly Round[]>>): void {
  const { ours = [], bare = [] } = rounds;
  const names = Object.keys(ours[0] ?? {});
  const of = (all: readonly Round[], name: string) =>
    median(all.map((round) => round[name] ?? Number.NaN));
  const targets: Readonly<Record<string, string>> = {
    "KiB an agent": "<= 14",
    "commit to one, p50 ms": "<= 3",
    "routes to all: last, ms": "<= 300",
    "wishes to all: last, ms": "<= 300",
  };
  console.log(`\n${AGENTS} agents, each with a poll; medians of ${ours.length} rounds in turn`);
  console.log("  baseline: a bare node:http server that holds the same, with the same flags,");
  console.log("            and answers as many bytes on the same notifications");
  console.table(
    Object.fromEntries(
      names.map((name) => {
        const measured = rounded({ ours: of(ours, name), bare: of(bare, name) });
        return [name, { ...measured, target: targets[name] ?? "" }];
      }),
    ),
  );
}

function rounded(row: Round): Round {
  return Object.fromEntries(Object.entries(row).map(([key, it]) => [key, Number(it.toFixed(1))]));
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
