import { NodeId, ReleaseId } from "../../../contract/ids.ts";
import { planApp } from "../../../worker/schedule/plan.ts";
import type { PodView, World } from "../../../worker/schedule/world.ts";
import { aNode, aRelease, demands, MIB } from "../../worker/schedule/world.ts";
import { type AppRow, type Look, openControlPlane } from "./control-plane.ts";
import { aHost, type Host, isReady, live, powerOff, type Report, take, type Wish } from "./host.ts";
import { seeded } from "./random.ts";

const STEP_MS = 2_000;
const START_MS = 1_000_000;

export type Size = {
  readonly nodes: number;
  readonly apps: number;
  /** For so long things go wrong, and for so long all is well again, in ms of the simulation. */
  readonly faultsMs: number;
  readonly calmMs: number;
};

type Message = { readonly atMs: number; readonly deliver: () => void };
type Mending = { readonly atMs: number; readonly mend: () => void };

/** Lives through one seed; throws what was broken, with when. */
export function simulate(seed: number, size: Size): void {
  const random = seeded(seed);
  const control = openControlPlane(random);
  const hosts = new Map<NodeId, Host>();
  let messages: Message[] = [];
  let mendings: Mending[] = [];
  let up = true;
  let nowMs = START_MS;
  for (let at = 0; at < size.nodes; at++) {
    const id = NodeId.parse(random.uuid());
    const allocatable = { cpuMillis: 8_000, memoryBytes: random.int(3, 6) * 1_024 * MIB, pods: 50 };
    control.nodes.set(id, {
      ...aNode({ id, name: `node-${at}`, allocatable, seenAtMs: START_MS }),
      ...{ generation: 0, observedGeneration: 0 },
    });
    hosts.set(id, aHost(id));
  }
  for (let at = 0; at < size.apps; at++) {
    const app: AppRow = { name: `app-${at}`, releases: [] };
    control.apps.set(app.name, app);
    release(app, at % 3 === 0);
  }
  const dirty = new Set(control.apps.keys());

  function release(app: AppRow, exclusive: boolean): void {
    const number = Math.max(0, ...app.releases.map((it) => it.number)) + 1;
    const id = ReleaseId.parse(random.uuid());
    const requests = { cpuMillis: 100, memoryBytes: random.int(1, 6) * 128 * MIB, pods: 1 };
    const replicas = exclusive ? 1 : random.int(1, 4);
    const view = aRelease({
      ...{ id, number, exclusive, replicas, phaseAtMs: nowMs },
      demands: demands({ requests, labels: { app: app.name } }),
      maxSurge: random.int(1, 2),
      progressDeadlineMs: 120_000,
    });
    if (app.releases.length > 0 && random.chance(0.3)) control.broken.add(view.fingerprint);
    app.releases = [...app.releases, view];
  }

  const send = (host: Host, deliver: () => void) => {
    const { boot } = host;
    const copies = random.chance(0.05) ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      if (!host.link || !up || random.chance(0.05)) continue;
      const atMs = nowMs + random.int(0, copy === 0 ? 3 : 30) * 1_000;
      messages.push({ atMs, deliver: () => host.boot === boot && host.link && up && deliver() });
    }
  };

  function talk(host: Host, report: Report | undefined): void {
    if (report)
      send(host, () => {
        for (const app of control.store(report, nowMs)) if (random.chance(0.9)) dirty.add(app);
      });
    if (!host.on || !host.agent || !random.chance(0.5)) return;
    send(host, () => {
      control.setNode(host.id, { fenced: false });
      const wish: Wish = control.wishOf(host.id);
      send(host, () => host.agent && take(host, wish));
    });
  }

  function goWrong(): void {
    const host = random.pick([...hosts.values()]);
    const later = (mostMs: number, mend: () => void) =>
      mendings.push({ atMs: nowMs + random.int(5_000, mostMs), mend });
    const faults: readonly (() => void)[] = [
      () => {
        host.link = false;
        later(900_000, () => (host.link = true));
      },
      () => {
        powerOff(host);
        later(900_000, () => (host.on = true));
      },
      () => {
        host.agent = false;
        later(400_000, () => (host.agent = true));
      },
      () => {
        up = false;
        later(400_000, () => (up = true));
      },
      () => control.setNode(host.id, { draining: true, cordoned: true }),
      () => control.setNode(host.id, { draining: false, cordoned: false }),
      () => {
        const off = [...hosts.values()].filter((it) => !it.on);
        const seenAtMs = (it: Host) => control.nodes.get(it.id)?.seenAtMs ?? 0;
        const dead = off.find((it) => nowMs - seenAtMs(it) > 60_000);
        if (!dead) return;
        control.setNode(dead.id, { fenced: true });
        for (const app of control.apps.keys()) dirty.add(app);
      },
      ...[1, 2, 3].map(() => () => {
        const app = random.pick([...control.apps.values()]);
        release(
          app,
          app.releases.some((it) => it.exclusive),
        );
        dirty.add(app.name);
      }),
    ];
    random.pick(faults)();
  }

  function step(): void {
    nowMs += STEP_MS;
    const due = messages.filter((it) => it.atMs <= nowMs);
    messages = messages.filter((it) => it.atMs > nowMs);
    for (const { deliver } of due) deliver();
    for (const { mend } of mendings.filter((it) => it.atMs <= nowMs)) mend();
    mendings = mendings.filter((it) => it.atMs > nowMs);
    for (const host of hosts.values()) talk(host, live(host, nowMs, random));
    if (up) {
      control.nodesPass(nowMs);
      if (nowMs % 30_000 === 0) for (const app of control.apps.keys()) dirty.add(app);
      for (const name of dirty) {
        const app = control.apps.get(name);
        if (app) checkLook(control.schedule(app, nowMs));
      }
      dirty.clear();
    }
    checkHosts(hosts, nowMs, control.nodes);
  }

  const at = (text: string) => `seed ${seed}, second ${(nowMs - START_MS) / 1_000}: ${text}`;
  try {
    while (nowMs < START_MS + size.faultsMs) {
      if (random.chance(0.04)) goWrong();
      step();
    }
    up = true;
    for (const { mend } of mendings) mend();
    mendings = [];
    for (const { id } of hosts.values()) control.setNode(id, { draining: false, cordoned: false });
    for (const host of hosts.values()) Object.assign(host, { on: true, agent: true, link: true });
    const wellAtMs = nowMs;
    while (nowMs < wellAtMs + size.calmMs) step();
    for (const app of control.apps.values())
      checkEnd(app, control.worldOf(app, nowMs), [...hosts.values()], nowMs);
  } catch (error) {
    throw new Error(at(error instanceof Error ? error.message : String(error)), { cause: error });
  }
}

/** What must hold on the hosts themselves, whatever anybody knows of them. */
function checkHosts(
  hosts: ReadonlyMap<NodeId, Host>,
  nowMs: number,
  nodes: ReturnType<typeof openControlPlane>["nodes"],
): void {
  const singles = new Map<string, number>();
  for (const host of hosts.values()) {
    let memory = 0;
    for (const { pod } of host.running.values()) {
      memory += pod.demands.requests.memoryBytes;
      if (pod.exclusive) singles.set(pod.app, (singles.get(pod.app) ?? 0) + 1);
    }
    const most = nodes.get(host.id)?.allocatable.memoryBytes ?? 0;
    if (memory > most) throw new Error(`a host runs more than it can: ${memory} of ${most}`);
  }
  for (const [app, count] of singles)
    if (count > 1) throw new Error(`the singleton ${app} runs ${count} times at ${nowMs}`);
}

/** No plan takes ready pods away below what is asked for, as far as its own side knows; but a first release may fail. */
function checkLook({ app, world, changes }: Look): void {
  if (!world.releases.some((it) => it.phase === "live")) return;
  const heard = (pod: PodView) =>
    world.nodes.some(
      (it) => it.id === pod.node && !it.fenced && world.nowMs - it.seenAtMs <= 45_000,
    );
  const serving = world.pods.filter(
    (pod) => pod.wanted === "run" && pod.seen?.status.ready && heard(pod) && !pod.exclusive,
  );
  const removed = new Set(changes.flatMap((it) => (it.kind === "remove" ? [it.pod] : [])));
  const after = serving.filter((pod) => !removed.has(pod.id)).length;
  const releases = [...app.releases, ...world.releases];
  const asked = Math.min(...releases.filter((it) => !it.exclusive).map((it) => it.replicas));
  const crowded = changes.some((it) => it.kind === "wait" || it.kind === "hold");
  if (after < Math.min(serving.length, asked) && !crowded)
    throw new Error(`${app.name} goes from ${serving.length} ready pods to ${after} of ${asked}`);
}

function checkEnd(app: AppRow, world: World, hosts: readonly Host[], nowMs: number): void {
  const [live, ...others] = app.releases;
  const running = hosts
    .flatMap((it) => [...it.running.values()])
    .filter((it) => it.pod.app === app.name);
  if (!live && running.length === 0) return;
  if (!live || others.length > 0 || live.phase !== "live")
    throw new Error(`${app.name} did not come to rest: ${app.releases.map((it) => it.phase)}`);
  const changes = planApp(world);
  if (changes.some((it) => it.kind === "wait")) return;
  if (changes.length > 0) throw new Error(`${app.name} still plans ${JSON.stringify(changes)}`);
  const ready = running.filter((it) => isReady(it, nowMs)).length;
  if (ready !== live.replicas || running.length !== ready)
    throw new Error(`${app.name} runs ${running.length} pods, ${ready} ready, of ${live.replicas}`);
}
