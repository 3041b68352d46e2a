import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { sql } from "drizzle-orm";
import type { NodeId } from "../../contract/ids.ts";
import type { Pod } from "../../contract/pod/pod.ts";
import { announce } from "../../db/outbox.ts";
import { nodePlans } from "../../db/schema/core.ts";
import { NODE_AGENT_FLAGS } from "../../standalone/parts/programs.ts";
import { aToken, startApi, type TestApi } from "./api.ts";
import { startContainerd, type TestContainerd } from "./containerd.ts";
import { aDigest, declare } from "./declared.ts";
import { eventually } from "./eventually.ts";
import { storePod } from "./pod-rows.ts";
import { aPod } from "./pods.ts";
import { aProgram } from "./program.ts";
import { startRegistry } from "./registry.ts";
import { pushBusybox, pushPause } from "./test-image.ts";

/** The whole way of a pod but its scheduler: api, PostgreSQL, registry, containerd and the agent as a process. */
export type RealNode = AsyncDisposable & {
  readonly api: TestApi;
  readonly containerd: TestContainerd;
  readonly agentDir: string;
  /** Has this pod run by the node, as a scheduler would, for the app of this name; resolves when it runs. */
  place(app: string, said: PodSaid): Promise<Pod>;
  /** The pod is to be gone. */
  remove(pod: Pod): Promise<void>;
  startAgent(): Promise<void>;
  endAgent(signal: NodeJS.Signals): Promise<void>;
  agentLog(): string;
  agentPid(): number;
};

export type PodSaid = {
  /** A script for `sh -c`. */
  readonly script: string;
  readonly name?: string;
  readonly container?: object;
  readonly spec?: object;
};

export async function startRealNode(): Promise<RealNode> {
  const stack = new AsyncDisposableStack();
  try {
    const registry = stack.use(await startRegistry());
    const [busybox] = await Promise.all([
      pushBusybox(registry.url, "apps/web"),
      pushPause(registry.url),
    ]);
    const api = stack.use(await startApi({ registryUrl: registry.url }));
    const containerd = stack.use(await startContainerd());
    const agentDir = join(containerd.dir, "agent");
    const env = {
      WAYBILL_API_URL: api.url,
      WAYBILL_AGENT_DIR: agentDir,
      WAYBILL_JOIN_TOKEN_FILE: join(agentDir, "join.token"),
      CONTAINER_RUNTIME_ENDPOINT: containerd.endpoint,
      WAYBILL_REGISTRY_HOSTS_DIR: containerd.hostsDir,
      WAYBILL_CADDY_ADMIN: join(containerd.dir, "no-caddy.sock"),
      WAYBILL_INGRESS_SOCKET: join(containerd.dir, "no-ingress.sock"),
      WAYBILL_CGROUP_PARENT: containerd.cgroupParent,
      WAYBILL_AGENT_HEALTH: `/run/${containerd.installation}/agent.sock`,
    };
    await mkdir(agentDir, { recursive: true });
    const join_ = await aToken(api.db, { kind: "join", project: api.project, node: "local" });
    await writeFile(env.WAYBILL_JOIN_TOKEN_FILE, join_);
    const argv = [...NODE_AGENT_FLAGS, join(import.meta.dirname, "../../node-agent/main.ts")];
    const agent = stack.use(aProgram({ program: process.execPath, argv, env }));
    await agent.start();
    const image = `waybill.internal/${busybox.repository}@${busybox.digest}`;
    const owned = stack.move();
    return {
      api,
      containerd,
      agentDir,
      startAgent: () => agent.start(),
      endAgent: agent.end,
      agentLog: agent.log,
      agentPid: () => agent.child()?.pid ?? 0,
      place: (app, said) => place(api, app, image, said),
      remove: (pod) => remove(api, pod),
      [Symbol.asyncDispose]: () => owned.disposeAsync(),
    };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

async function place(api: TestApi, app: string, image: string, said: PodSaid): Promise<Pod> {
  const node = await nodeId(api);
  const pod = aPod({
    image,
    name: said.name ?? `${app}-1`,
    command: ["sh", "-c"],
    args: [said.script],
    container: { readinessProbe: undefined, ...said.container },
    spec: said.spec ?? {},
  });
  const { app: appId, release } = await declare(api.db, app, aDigest("a"));
  await api.db.execute(sql`update releases set phase = 'live' where id = ${release}`);
  await changeWish(api, node, async (tx) => {
    await storePod(tx, { app: appId, release, node, spec: pod });
  });
  await eventually(
    async () => {
      const { body } = await api.ask(`/v1/apps/${app}`);
      const seen = body.pods.find((it: { name: string }) => it.name === pod.metadata.name);
      if (seen?.phase !== "Running") throw new Error(`${app}: ${JSON.stringify(body.pods)}`);
    },
    { withinMs: 30_000 },
  );
  return pod;
}

async function remove(api: TestApi, pod: Pod): Promise<void> {
  const node = await nodeId(api);
  await changeWish(api, node, async (tx) => {
    await tx.execute(sql`update pods set wanted = 'gone' where id = ${pod.metadata.uid}`);
  });
}

type Tx = Pick<TestApi["db"], "insert" | "execute" | "update">;

async function changeWish(
  api: TestApi,
  node: NodeId,
  act: (tx: Tx) => Promise<void>,
): Promise<void> {
  await api.db.transaction(async (tx) => {
    await act(tx);
    await tx.update(nodePlans).set({ generation: sql`${nodePlans.generation} + 1` });
    await announce(tx, `node:${node}`);
  });
}

async function nodeId(api: TestApi): Promise<NodeId> {
  return await eventually(
    async () => {
      const [row] = await api.db.execute<{ id: NodeId }>(sql`select id from nodes`);
      if (!row) throw new Error("the node has not joined");
      return row.id;
    },
    { withinMs: 20_000 },
  );
}
