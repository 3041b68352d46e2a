import type { NodeId, PodId } from "../../../contract/ids.ts";
import type { NodeView } from "../../../contract/placement/node-view.ts";
import { SINGLETON } from "../../../contract/placement/strategy.ts";
import { POD_LABELS } from "../../../contract/pod/pod.ts";
import { effectiveRequests } from "../../../contract/pod/requests.ts";
import type { PodView, World } from "../../../worker/schedule/world.ts";
import type { Api } from "./api.ts";
import type { Database } from "./database.ts";
import { DEADLINE_MS } from "./declared.ts";
import type { Fleet, Host } from "./fleet.ts";
import { running } from "./machine.ts";
import type { Timeline } from "./timeline.ts";
import { AWAY_MS, type Decision, isActive } from "./worker.ts";

/* What must hold in every step: of the hosts as they are, and of each decision by what its side knows. */

/** Twice the time after which a node counts as silent: decision 0018. */
const GRACE_MS = 90_000;
const HEARD_MS = 45_000;
/** Whoever was heard of in so long a time before was there when others vanished. */
const THERE_MS = 700_000;

export type Rules = ReturnType<typeof openRules>;

export function openRules(setting: {
  readonly db: Database;
  readonly api: Pick<Api, "speaks">;
  readonly fleet: () => Fleet;
  readonly timeline: Timeline;
  /** Nothing that runs breaks by itself, so that no request has a reason to fail. */
  readonly gentle: boolean;
}) {
  const { db, timeline, gentle } = setting;
  /** Apps of which a person has said that they do not run where they do. */
  const waived = new Set<string>();
  /** Nodes that a copy of their host has spoken for. */
  const copied = new Set<NodeId>();
  /** How many of each app serve at least, of those that were ever asked for. */
  const reached = new Map<string, number>();
  const newestLive = new Map<string, number>();
  /** Agents may know wishes that the database has lost. */
  let isRestored = false;
  let backAtMs = Number.NEGATIVE_INFINITY;
  let vanished = { nodes: [] as readonly NodeId[], atMs: 0 };

  function decided(decision: Decision): void {
    newestWins(decision);
    noMoreThanAsked(decision);
    noneTooFewBy(decision);
    noneForHeld(decision);
    braked(decision.world);
  }

  /** I5 and promise 5: what is live is never an older release than before, and never one that does not work. */
  function newestWins({ app, world, changes }: Decision): void {
    const newest = Math.max(...world.releases.map((it) => it.number));
    for (const change of changes) {
      if (change.kind !== "place" && change.kind !== "go-live") continue;
      const { view, asked } = db.release(app, change.release);
      if (change.kind === "place" && view.number !== newest && view.phase !== "live")
        throw new Error(`${app.name} is given a pod of release ${view.number}, which is overtaken`);
      if (change.kind !== "go-live") continue;
      if (asked.fate !== "works")
        throw new Error(`release ${view.number} of ${app.name} is live, and it ${asked.fate}`);
      if (view.number <= (newestLive.get(app.name) ?? 0))
        throw new Error(`${app.name} went back to release ${view.number}`);
      newestLive.set(app.name, view.number);
    }
  }

  /** I2: no pod is made beyond what is asked for and the surge, but for those that are given up, or are held. */
  function noMoreThanAsked({ app, world, changes }: Decision): void {
    const placed = changes.filter((it) => it.kind === "place").length;
    if (placed === 0) return;
    const removed = new Set(changes.flatMap((it) => (it.kind === "remove" ? [it.pod] : [])));
    const stay = world.pods.filter((it) => it.wanted === "run" && !removed.has(it.id));
    const counted = stay.filter((it) => it.release !== world.held);
    const lost = counted.filter((it) => world.lost.has(it.node)).length;
    const most = (of: (it: World["releases"][number]) => number) =>
      Math.max(...world.releases.map(of));
    const limit = most((it) => it.replicas) + most((it) => it.maxSurge) + lost;
    if (counted.length + placed > limit)
      throw new Error(`${app.name} is given ${counted.length + placed} pods of at most ${limit}`);
    if (world.releases.some((it) => it.exclusive) && stay.length + placed > 1)
      throw new Error(`${app.name} is given two pods, which must not run side by side`);
  }

  /** No plan takes ready pods away below what is asked for, as far as its own side knows. */
  function noneTooFewBy({ app, world, changes }: Decision): void {
    const live = world.releases.find((it) => it.phase === "live");
    if (world.appDeleted || !live || !standSideBySide(app.name)) return;
    const serves = (pod: PodView) =>
      pod.wanted === "run" && pod.seen?.status.ready && isHeard(world, pod.node);
    const serving = world.pods.filter(serves);
    const removed = new Set(changes.flatMap((it) => (it.kind === "remove" ? [it.pod] : [])));
    const after = serving.filter((pod) => !removed.has(pod.id)).length;
    const asked = Math.min(...world.releases.map((it) => it.replicas));
    if (isCrowded({ app, world, changes })) {
      reached.set(app.name, Math.min(asked, reached.get(app.name) ?? 0) - 1);
      return;
    }
    if (after < Math.min(serving.length, asked))
      throw new Error(`${app.name} goes from ${serving.length} ready pods to ${after} of ${asked}`);
  }

  /** Promise 5: what is held of a failed release takes the place of none that is live. */
  function noneForHeld({ app, world, changes }: Decision): void {
    const [live, ...others] = world.releases;
    if (world.appDeleted || !world.held || !live || others.length > 0) return;
    const removed = new Set(changes.flatMap((it) => (it.kind === "remove" ? [it.pod] : [])));
    const own = world.pods.filter(
      (it) => it.wanted === "run" && it.release === live.id && isHeard(world, it.node),
    );
    const after = own.filter((it) => !removed.has(it.id)).length;
    if (standSideBySide(app.name) && after < Math.min(own.length, live.replicas))
      throw new Error(`${app.name} goes from ${own.length} live pods to ${after} beside held ones`);
  }

  /**
   * One of those that a failed release left goes where the live one has no room else, and none can come
   * back: there it serves with one fewer until what comes in its place is ready, and no second one goes
   * before. Both could not be promised on full nodes; without this the pods of a bad release would serve
   * on for ever.
   */
  function isCrowded({ world, changes }: Decision): boolean {
    const [live, ...others] = world.releases;
    const [gone, ...more] = changes.flatMap((it) => (it.kind === "remove" ? [it.pod] : []));
    const isLeft = world.pods.some((it) => it.id === gone && it.release !== live?.id);
    const isFull = changes.some((it) => it.kind === "wait");
    const mayReturn = ({ id, fenced }: NodeView) =>
      !fenced && !world.lost.has(id) && !isHeard(world, id);
    const isComing = (pod: PodView) =>
      pod.release === live?.id && pod.wanted === "run" && isYoung(world, pod);
    if (others.length > 0 || more.length > 0 || !isLeft || !isFull) return false;
    return !world.nodes.some(mayReturn) && !world.pods.some(isComing);
  }

  function standSideBySide(app: string): boolean {
    return db.apps.get(app)?.releases.every((it) => it.asked.kind === "plain") ?? false;
  }

  /** Not ready, and on its way as far as anybody knows. */
  function isYoung(world: World, { node, seen, createdAtMs }: PodView): boolean {
    if (seen?.status.ready || !isHeard(world, node)) return false;
    return world.nowMs - createdAtMs < DEADLINE_MS;
  }

  function isHeard({ nodes, nowMs }: World, id: NodeId): boolean {
    const node = nodes.find((it) => it.id === id);
    return node !== undefined && !node.fenced && nowMs - node.seenAtMs <= HEARD_MS;
  }

  /**
   * Both brakes of decision 0018, by what has happened and not by what is known of it. Calm begins with a
   * look, and while two of them are less than `AWAY_MS` apart nobody notices that the api came back between.
   */
  function braked({ lost, nowMs }: World): void {
    if (lost.size === 0) return;
    if (nowMs - backAtMs < GRACE_MS - AWAY_MS)
      throw new Error("nodes are given up right after the control plane came back");
    const silent = vanished.nodes.filter(isSilentSinceThen);
    const there = [...db.nodes.values()].filter((it) => it.seenAtMs >= vanished.atMs - THERE_MS);
    if (silent.length * 2 > there.length && silent.some((it) => lost.has(it)))
      throw new Error("nodes are given up that vanished with more than half of all");
  }

  function isSilentSinceThen(node: NodeId): boolean {
    return (db.nodes.get(node)?.seenAtMs ?? Number.POSITIVE_INFINITY) <= vanished.atMs;
  }

  /** I11: nothing is stopped but by a newer wish without it, which somebody has really made. */
  function stopped(host: Host, pod: PodId): void {
    const row = db.pods.get(pod);
    if (!row) return;
    const generation = host.disk.wish?.generation ?? -1;
    if (row.goneGeneration === undefined || row.goneGeneration > generation)
      throw new Error(`${host.name} stops a pod of ${row.app}, which nobody has asked it to`);
  }

  function step(): void {
    const singles = new Map<string, string>();
    const serving = new Map<string, number>();
    const everywhere = new Map<PodId, string>();
    for (const host of setting.fleet().hosts) {
      if (host.isCopy) letCopySpeak(host);
      let [memoryBytes, pods] = [0, 0];
      for (const { pod } of running(host.machine)) {
        const { labels, annotations, uid } = pod.metadata;
        const app = labels[POD_LABELS.app] ?? "";
        memoryBytes += effectiveRequests(pod.spec).memoryBytes;
        pods += 1;
        const elsewhere = everywhere.get(uid);
        if (elsewhere !== undefined && !host.isCopy)
          throw new Error(`a pod of ${app} runs on ${elsewhere} and on ${host.name}`);
        if (!host.isCopy) everywhere.set(uid, host.name);
        if (annotations[SINGLETON] !== "true" || waived.has(app)) continue;
        const other = singles.get(app);
        if (other !== undefined)
          throw new Error(`the singleton ${app} runs on ${other} and on ${host.name}`);
        singles.set(app, host.name);
      }
      const isTooFull = memoryBytes > host.offers.memoryBytes || pods > host.offers.pods;
      if (isTooFull && !(host.who && copied.has(host.who.node)))
        throw new Error(`${host.name} runs more than it can: ${pods} pods, ${memoryBytes} bytes`);
      if (gentle)
        for (const pod of host.runtime.serving()) {
          const row = db.pods.get(pod);
          if (row?.view.wanted === "run") serving.set(row.app, (serving.get(row.app) ?? 0) + 1);
        }
    }
    if (gentle) enoughServe(serving);
    if (!isRestored) knownAreMade();
  }

  /** No node is taken to know a wish that nobody has made yet: what it says of older ones is not believed. */
  function knownAreMade(): void {
    for (const { name, observed, generation } of db.nodes.values())
      if (observed > generation)
        throw new Error(`${name} is said to know wish ${observed} of ${generation}`);
  }

  /**
   * Where a host is silent its copy speaks for it; only a person could have told that there is one. Its apps
   * may run twice, and when it is heard of again it finds others in the room of what it still runs.
   */
  function letCopySpeak({ who }: Host): void {
    if (!who || !setting.api.speaks(who)) return;
    copied.add(who.node);
    for (const { app } of db.podsOn(who.node)) waived.add(app);
  }

  /** Whatever is deployed, and whoever of the control plane and the agents dies meanwhile. */
  function enoughServe(serving: ReadonlyMap<string, number>): void {
    for (const app of db.apps.values()) {
      const active = app.releases.filter((it) => isActive(it.phase));
      if (app.deleted || !standSideBySide(app.name)) continue;
      if (!active.some((it) => it.phase === "live")) continue;
      const asked = Math.min(...active.map((it) => it.view.replicas));
      const ready = serving.get(app.name) ?? 0;
      // What asks for more is not there yet, and what asked for less may have been and gone.
      const least = Math.min(asked, reached.get(app.name) ?? 0);
      if (ready < least) throw new Error(`${app.name} serves with ${ready} pods of ${least}`);
      reached.set(app.name, ready >= asked ? asked : least);
    }
  }

  return {
    ...{ decided, stopped, step },
    waive: (app: string) => void waived.add(app),
    /** The database is an earlier one from now on. */
    restored(): void {
      isRestored = true;
    },
    /** The control plane was away for so long that its nodes' silence means nothing. */
    cameBack(): void {
      backAtMs = timeline.nowMs();
    },
    /** These are cut off from now on, all at once. */
    vanish(nodes: readonly NodeId[]): void {
      vanished = { nodes, atMs: timeline.nowMs() };
    },
  };
}
