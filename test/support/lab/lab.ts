import { randomBytes, randomInt } from "node:crypto";
import { mkdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeJoinToken } from "../../../db/access/first-tokens.ts";
import { ensureProject } from "../../../db/access/projects.ts";
import { connect } from "../../../db/client.ts";
import { eventually } from "../eventually.ts";
import { freePort } from "../free-port.ts";
import { type ControlPlane, startControlPlane } from "./control-plane.ts";
import { type Host, type HostSaid, startHost } from "./host.ts";
import { openLan } from "./lan.ts";

/**
 * Several hosts on this machine, each with a network, containerd, ingress and agent of its own, and a
 * control plane that they reach over a LAN. All of it is gone at the end, and with a killed run.
 */
export type Lab = AsyncDisposable & {
  /** As its link on this machine is called. */
  readonly name: string;
  readonly controlPlane: ControlPlane;
  readonly hosts: readonly Host[];
  host(name: string): Host;
  /** One more host, which joins; answers when the control plane has heard of it. */
  addHost(said?: Partial<HostSaid>): Promise<Host>;
};

/** Answers when every host has joined and was heard of. */
export async function openLab(said: {
  /** So many, called host-1 and so on, or what each says of itself. */
  readonly hosts: number | readonly Partial<HostSaid>[];
}): Promise<Lab> {
  const stack = new AsyncDisposableStack();
  try {
    const id = randomBytes(4).toString("hex");
    const dir = join(tmpdir(), `waybill-lab-${id}`);
    await mkdir(dir, { mode: 0o700 });
    stack.defer(() => rm(dir, { recursive: true, force: true }));
    const name = `wl-${id}`;
    const lan = stack.use(await openLan(dir, name));
    const port = await freePort();
    const url = `http://${lan.address}:${port}`;
    const starting = startControlPlane(dir, { address: lan.address, port });
    const hosts: Host[] = [];
    stack.defer(async () => (await starting)[Symbol.asyncDispose]());
    stack.defer(async () => void (await Promise.all(hosts.map((it) => it[Symbol.asyncDispose]()))));

    const podNet = `10.${randomInt(128, 250)}`;
    let plugged = 0;
    const addHost = async (wanted: Partial<HostSaid> = {}) => {
      const number = ++plugged;
      const name = wanted.name ?? `host-${number}`;
      const host = await startHost({
        host: { ...wanted, name },
        uplink: lan.plug(number),
        podCidr: `${podNet}.${number}.0/24`,
        apiUrl: url,
        giveJoinToken: async (file) => giveJoinToken(await starting, name, file),
      });
      hosts.push(host);
      await heardOf(await starting, host);
      return host;
    };

    const first = typeof said.hosts === "number" ? Array(said.hosts).fill({}) : said.hosts;
    // All of them, so that nothing is still being started when the first failure is told.
    const started = await Promise.allSettled([starting, ...first.map((it) => addHost(it))]);
    const failed = started.find((it) => it.status === "rejected");
    if (failed) throw failed.reason;
    return {
      name,
      controlPlane: await starting,
      get hosts() {
        return hosts.toSorted((a, b) => (a.name < b.name ? -1 : 1));
      },
      host: (name) => {
        const found = hosts.find((it) => it.name === name);
        if (!found) throw new Error(`there is no host ${name}`);
        return found;
      },
      addHost,
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

async function giveJoinToken(
  { databaseUrl }: ControlPlane,
  name: string,
  file: string,
): Promise<void> {
  const connection = connect(databaseUrl, { max: 1, name: "lab" });
  try {
    const project = await ensureProject(connection.db, "default");
    await writeJoinToken(connection.db, project, name, file);
  } finally {
    await connection.close();
  }
}

async function heardOf({ call }: ControlPlane, host: Host): Promise<void> {
  await eventually(
    async () => {
      const { body } = await call("GET", "/v1/nodes");
      const found = (body.nodes as { name: string; ready: boolean }[]).find(
        ({ name }) => name === host.name,
      );
      if (!found?.ready) throw new Error(`${host.name} is not there: ${host.agentLog()}`);
    },
    { withinMs: 30_000 },
  );
}
