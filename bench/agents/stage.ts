import { createHash, randomBytes, randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sql } from "drizzle-orm";
import { type NodeId, PodId, type ProjectId } from "../../contract/ids.ts";
import type { NodeReport } from "../../contract/node/protocol.ts";
import { makeToken } from "../../contract/token.ts";
import { ensureProject } from "../../db/access/projects.ts";
import { insertToken } from "../../db/access/tokens.ts";
import { type Connection, connect } from "../../db/client.ts";
import { nodePlans, releases } from "../../db/schema/core.ts";
import { apiPart } from "../../standalone/parts/programs.ts";
import { aReport, built, declare, joinedNode } from "../../test/support/declared.ts";
import { freePort } from "../../test/support/free-port.ts";
import { prepare, startAndWait, wire } from "../../test/support/lab/control-plane.ts";
import { storePod } from "../../test/support/pod-rows.ts";
import { aPod } from "../../test/support/pods.ts";
import { type Cluster, startCluster } from "../../test/support/postgres-cluster.ts";
import { aProgram, type TestProgram } from "../../test/support/program.ts";
import { aContainer, aStatus } from "../../test/worker/schedule/world.ts";
import type { PlayedAgent } from "./orders.ts";

/** One of the two that hold the polls. */
export type Server = {
  readonly name: "ours" | "bare";
  readonly program: TestProgram;
  readonly port: number;
  /** Starts it anew and waits until it answers. */
  start(): Promise<void>;
  pid(): number;
};

export type Stage = AsyncDisposable & {
  readonly postgres: Cluster;
  readonly connection: Connection;
  readonly nodes: readonly NodeId[];
  readonly agents: readonly PlayedAgent[];
  readonly ours: Server;
  readonly bare: Server;
};

/** A database in which `count` nodes have joined and have one pod each, and the two servers, not started. */
export async function openStage(count: number): Promise<Stage> {
  const stack = new AsyncDisposableStack();
  try {
    const postgres = stack.use(await startCluster());
    const dir = await mkdtemp(join(tmpdir(), "waybill-bench-"));
    stack.defer(() => rm(dir, { recursive: true, force: true }));
    const databaseUrl = `${postgres.url}/postgres`;
    const port = await freePort();
    // Neither is asked for anything here.
    const nobody = { redisUrl: "redis://127.0.0.1:9", registryUrl: "http://127.0.0.1:9" };
    const wiring = wire(dir, { address: "127.0.0.1", port }, { databaseUrl, ...nobody });
    await prepare(wiring);
    const connection = connect(databaseUrl, { max: 4, name: "bench" });
    stack.defer(connection.close);
    const fleet = await makeFleet(connection, count);
    const part = apiPart(wiring);
    const flags = part.argv.slice(0, -1);
    const bare = {
      program: process.execPath,
      argv: [...flags, join(import.meta.dirname, "bare.ts")],
      env: {
        ...part.env,
        PORT: String(await freePort()),
        BODY: "x".repeat(await wishBytes(connection)),
      },
    };
    const owned = stack.move();
    return {
      postgres,
      connection,
      ...fleet,
      ours: owned.use(server("ours", aProgram(part), port)),
      bare: owned.use(server("bare", aProgram(bare), Number(bare.env.PORT))),
      [Symbol.asyncDispose]: () => owned.disposeAsync(),
    };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

function server(name: Server["name"], program: TestProgram, port: number) {
  return {
    name,
    program,
    port,
    start: async () => {
      await program.end();
      await startAndWait(program);
    },
    pid: () => program.child()?.pid ?? 0,
    [Symbol.asyncDispose]: () => program[Symbol.asyncDispose](),
  };
}

/** About as much as a node is told here: its pod as it is kept, and what goes around it. */
async function wishBytes({ db }: Connection): Promise<number> {
  const [row] = await db.execute<{ bytes: number }>(
    sql`select max(wire_bytes) as bytes from pod_texts`,
  );
  return (row?.bytes ?? 0) + 500;
}

async function makeFleet({ db }: Connection, count: number) {
  const project = await ensureProject(db, "default");
  const shop = await declare(db, "shop");
  await built(db, shop);
  await db.update(releases).set({ phase: "live" });
  const nodes: NodeId[] = [];
  const agents: PlayedAgent[] = [];
  for (let at = 0; at < count; at++) {
    const name = `node-${at}`;
    const node = await joinedNode(db, name);
    const token = await nodeToken(db, project, name);
    const pod = PodId.parse(randomUUID());
    const spec = aPod({ uid: pod, name: `shop-1-${randomBytes(3).toString("hex")}` });
    await storePod(db, { ...shop, node, spec, nodePort: 31_000 });
    nodes.push(node);
    agents.push({ session: node, token, report: reportOf(pod) });
  }
  await db.update(nodePlans).set({ generation: 1 });
  await db.execute(sql`delete from outbox`);
  await db.execute(sql`analyze`);
  return { nodes, agents };
}

async function nodeToken(db: Connection["db"], projectId: ProjectId, nodeName: string) {
  const { text, id, kind, secret } = makeToken("node", randomBytes);
  await insertToken(db, {
    id,
    kind,
    projectId,
    nodeName,
    secretHash: createHash("sha256").update(secret).digest(),
    last4: secret.slice(-4),
    scopes: [],
    createdBy: "bench",
    lifeSeconds: 86_400,
  });
  return text;
}

/** Measures change with each report: the players make them up where this says 1. */
function reportOf(pod: PodId): NodeReport {
  const container = aContainer({
    name: "web",
    ready: true,
    startedAt: "2026-01-01T00:00:00.000Z",
    usage: { cpuMillis: 1, memoryBytes: 64 * 1024 ** 2 },
  });
  return aReport([aStatus(pod, { ready: true, containers: [container], ip: "10.64.0.2" })]);
}
