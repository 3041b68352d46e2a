import { NodeId, type PodId } from "../../../contract/ids.ts";
import type { DesiredState } from "../../../contract/node/protocol.ts";
import { PROTOCOL } from "../../../contract/node/skew.ts";
import { isSilent } from "../../../contract/placement/filter.ts";
import { planSight } from "../../../db/nodes/sight-plan.ts";
import type { Said } from "./agent.ts";
import type { Database, NodeRow, PodRow } from "./database.ts";
import type { Random } from "./random.ts";
import type { Timeline } from "./timeline.ts";

/* The api's shells over the simulated database: who may speak for a node, and what a report changes. */

/** As db/nodes/sessions.ts says: an agent that was silent for so long has lost its node to another one that asks. */
const HELD_FOR_MS = 30_000;
/** As db/nodes/late.ts says: after so long without a report none is late. */
const UNDER_WAY_MS = 120_000;

/** Who asks: an agent's token, and its session. */
export type Speaker = { readonly node: NodeId; readonly session: string; readonly token: string };

export type Api = ReturnType<typeof openApi>;

export function openApi(setting: {
  readonly db: Database;
  readonly timeline: Timeline;
  readonly random: Random;
  readonly onNudge: (app: string) => void;
}) {
  const { db, timeline, random } = setting;
  const sessions = new Map<NodeId, { readonly session: string; readonly atMs: number }>();
  const tokens = new Map<NodeId, string>();
  const lastPods = new Map<NodeId, Said["pods"]>();
  const believed = new Map<NodeId, Pick<Speaker, "session"> & Pick<Said, "sinceBootMs">>();
  let up = true;

  function claim(node: NodeId, session: string): boolean {
    const held = sessions.get(node);
    const nowMs = timeline.nowMs();
    if (held && held.session !== session && nowMs - held.atMs < HELD_FOR_MS) return false;
    sessions.set(node, { session, atMs: nowMs });
    return true;
  }

  function admits({ node, session, token }: Speaker): boolean {
    const row = db.nodes.get(node);
    if (!up || !row || row.fenced || tokens.get(node) !== token) return false;
    return claim(node, session);
  }

  /** A boot has one session here. */
  function isLate({ node, session }: Speaker, { seenAtMs }: NodeRow, sinceBootMs: number): boolean {
    const last = believed.get(node);
    if (last?.session !== session || timeline.nowMs() - seenAtMs >= UNDER_WAY_MS) return false;
    return sinceBootMs < last.sinceBootMs;
  }

  function store(row: NodeRow, pods: Said["pods"]): void {
    const nowMs = timeline.nowMs();
    const named = new Set(pods.map((it) => it.pod));
    const known = db.podsOn(row.id).filter(({ view }) => view.seen || named.has(view.id));
    const change = planSight(known.map(knownPod), pods);
    for (const { status, moved } of change.store) {
      const pod = db.pods.get(status.pod) as PodRow;
      const sinceMs = moved ? nowMs : (pod.view.seen?.sinceMs ?? nowMs);
      db.setPod({ ...pod, view: { ...pod.view, seen: { status, sinceMs } } });
    }
    for (const id of change.forget) {
      const pod = db.pods.get(id) as PodRow;
      db.setPod({ ...pod, view: { ...pod.view, seen: undefined } });
    }
    for (const app of change.apps) setting.onNudge(app);
  }

  return {
    setUp(is: boolean): void {
      up = is;
    },
    isUp: () => up,
    /** It remembers nothing of what was reported: its database may be another one. */
    restart(): void {
      lastPods.clear();
      believed.clear();
    },
    speaks: ({ node, session }: Speaker) => sessions.get(node)?.session === session,
    /** Undefined for one that does not speak for the node. */
    desired: (who: Speaker): DesiredState | undefined =>
      admits(who) ? db.desired(who.node) : undefined,
    report(who: Speaker, { observedGeneration, pods, sinceBootMs }: Said): void {
      const before = db.nodes.get(who.node);
      if (!admits(who) || !before || isLate(who, before, sinceBootMs)) return;
      const observed = Math.max(before.observed, observedGeneration);
      db.setNode(who.node, { seenAtMs: timeline.nowMs(), observed });
      if (observedGeneration < before.observed) return;
      believed.set(who.node, { session: who.session, sinceBootMs });
      if (lastPods.get(who.node) === pods) return;
      lastPods.set(who.node, pods);
      store(before, pods);
    },
    /** A token for the host of this name, which is a new node where there is none; undefined: it is refused. */
    join(name: string, session: string, offers: NodeRow["allocatable"]): Speaker | undefined {
      const found = [...db.nodes.values()].find((it) => it.name === name);
      const node = found?.id ?? NodeId.parse(random.uuid());
      if (!up || !claim(node, session)) return undefined;
      if (!found) {
        const wish = { cordoned: false, draining: false, fenced: false, generation: 0 };
        const said = { seenAtMs: 0, protocol: PROTOCOL, observed: -1, allocatable: offers };
        db.addNode({ id: node, name, astray: undefined, ...wish, ...said });
      }
      db.setNode(node, { fenced: false });
      const token = random.uuid();
      tokens.set(node, token);
      return { node, session, token };
    },
    /** Refused while the host is heard of, as in api/nodes/wishes.ts. */
    fence(node: NodeId): boolean {
      const row = db.nodes.get(node);
      if (!up || !row || row.fenced || !isSilent(row, timeline.nowMs())) return false;
      db.setNode(node, { fenced: true });
      sessions.delete(node);
      tokens.delete(node);
      return true;
    },
    /** Only what nothing is wanted of is forgotten, and no home of a volume. */
    forget(node: NodeId): boolean {
      const there = db.podsOn(node).filter(({ view }) => view.wanted === "run" || view.seen);
      const isHome = [...db.volumes.values()].includes(node);
      if (!up || there.length > 0 || isHome) return false;
      db.removeNode(node);
      tokens.delete(node);
      return true;
    },
  };
}

function knownPod({ view, app }: PodRow) {
  const { id, name, release, seen } = view;
  return { pod: id satisfies PodId, name, release, app, status: seen?.status ?? null };
}
