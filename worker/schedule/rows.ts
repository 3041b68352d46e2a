import type { AppId, NodeId, PodId, ReleaseId } from "../../contract/ids.ts";
import { NODE_PORTS } from "../../contract/node/node-ports.ts";
import type { Changes, Move } from "../../db/apps/placing.ts";
import type { NewText } from "../../db/apps/pod-texts.ts";
import type { Event, EventType } from "../../db/events.ts";
import type { Claimed } from "../../db/volumes/homes.ts";
import type { AppSight, ReleaseSight } from "./look.ts";
import type { Change, RemovalReason } from "./plan.ts";
import { podName } from "./pod.ts";
import type { Scene } from "./scene.ts";

/* What the changes of plans come to in rows. Nothing here is decided but the port of a pod. */

/** One app's plan. */
export type AppPlan = { readonly sight: AppSight; readonly changes: readonly Change[] };

export const DELETION = "the deletion of the app";

/** Something random in [0, 1), and ids that no pod has. */
export type Chance = { readonly random: () => number; readonly newId: () => PodId };

/** What of one app is written. A pod that takes requests has no port yet. */
export type AppRows = {
  readonly app: AppId;
  readonly texts: Map<ReleaseId, NewText>;
  readonly placed: (Omit<Changes["placed"][number], "nodePort"> & { readonly door: boolean })[];
  readonly adopted: Changes["adopted"][number][];
  readonly removed: Changes["removed"][number][];
  readonly claimed: Claimed[];
  readonly nodes: Set<NodeId>;
  readonly moves: Map<ReleaseId, Move>;
  readonly events: Event[];
};

export function rowsOf(scene: Scene, { sight, changes }: AppPlan, newId: Chance["newId"]): AppRows {
  const rows: AppRows = {
    app: sight.app.id,
    texts: new Map(),
    placed: [],
    adopted: [],
    removed: [],
    claimed: [],
    nodes: new Set(),
    moves: new Map(),
    events: [],
  };
  const placings: Writing["placings"] = new Map();
  const writing = { scene, sight, rows, newId, placings };
  for (const change of changes) writers[change.kind](writing, change as never);
  for (const { at, pods } of placings.values()) {
    const event = rows.events[at];
    if (event) rows.events[at] = { ...event, message: placingWords(pods) };
  }
  return rows;
}

type Goes = { readonly name: string; readonly node: string };

/** One event for all pods of a release that one pass places: a hundred would bury what else happens. */
function placingWords(pods: readonly Goes[]): string {
  const [first, ...others] = pods;
  if (first && others.length === 0) return `pod ${first.name} goes to node ${first.node}`;
  const all = pods.map(({ name, node }) => `${name} to ${node}`);
  return `${pods.length} pods go to nodes: ${all.join(", ")}`;
}

type Writing = {
  readonly scene: Scene;
  readonly sight: AppSight;
  readonly rows: AppRows;
  readonly newId: Chance["newId"];
  /** Of each release, its pods that are placed, and which event tells of them. */
  readonly placings: Map<ReleaseId, { readonly at: number; readonly pods: Goes[] }>;
};

/** What each kind of change adds to the rows. */
type Writers = {
  readonly [Kind in Change["kind"]]: (
    writing: Writing,
    change: Extract<Change, { kind: Kind }>,
  ) => void;
};

const writers: Writers = {
  place: (writing, { release: id, node }) => {
    const { scene, sight, rows, newId } = writing;
    const { app } = sight;
    const release = named(sight.releases, id);
    const { row, view } = release;
    const placed = { id: newId(), app: app.id, release: id, node };
    const name = podName(app.name, row.number, placed.id);
    rows.texts.set(id, textOf(release));
    rows.placed.push({ ...placed, name, door: view.wish.door });
    touch(writing, node);
    for (const claim of view.demands.claims)
      rows.claimed.push({ project: app.projectId, name: claim, node });
    const goes = { name, node: scene.nodes[named(scene.positions, node)]?.name ?? node };
    const together = writing.placings.get(id);
    if (together) together.pods.push(goes);
    else writing.placings.set(id, { at: rows.events.length, pods: [goes] });
    if (!together) say(writing, id, "pod-placed", "");
  },
  adopt: (writing, { release: id, pod }) => {
    const { sight, rows } = writing;
    const release = named(sight.releases, id);
    const { row } = named(sight.pods, pod);
    rows.texts.set(id, textOf(release));
    rows.adopted.push({ id: pod, release: id });
    touch(writing, row.node);
    const why = `release ${release.row.number} asks for the same`;
    say(writing, id, "pod-adopted", `pod ${row.name} stays: ${why}`);
  },
  remove: (writing, { pod, because }) => {
    const { sight, rows } = writing;
    const { row } = named(sight.pods, pod);
    rows.removed.push({ id: pod, node: row.node });
    touch(writing, row.node);
    const message = `pod ${row.name} leaves: ${REMOVAL_WORDS[because]}`;
    say(writing, row.release, "pod-removed", message);
  },
  wait: (writing, { release, why }) =>
    say(writing, release, "pod-waiting", `no node can take the pod: ${why}`),
  hold: (writing, { release, why }) => say(writing, release, "pod-waiting", why),
  roll: (writing, { release }) => move(writing, { release, to: "rolling" }, "rolling out"),
  "go-live": (writing, { release }) => move(writing, { release, to: "live" }, "live"),
  retire: (writing, { release }) => move(writing, { release, to: "retired" }, "retired"),
  supersede: (writing, { release, by }) =>
    move(writing, { release, to: "superseded", supersededBy: by }, `release ${by} is newer`),
  cancel: (writing, { release }) => {
    const cancelled = { release, to: "cancelled", cancelledBy: DELETION } as const;
    move(writing, cancelled, `cancelled by ${DELETION}`);
  },
  fail: (writing, { release, failure }) =>
    move(writing, { release, to: "failed", failure }, failure.message),
};

function textOf({ pod, view }: ReleaseSight): NewText {
  if (pod === undefined)
    throw new Error(`the plan has pods of ${view.id}, of which none can be made`);
  return { spec: pod, demands: view.demands };
}

/** The wish of this node changes, unless it was removed: then there is nobody to be told. */
function touch({ scene, rows }: Writing, node: NodeId): void {
  if (scene.generations.has(node)) rows.nodes.add(node);
}

/** A release may go on by several phases at once: only the last is written, and all are told. */
function move(writing: Writing, { to, ...rest }: Omit<Move, "before">, message: string): void {
  const { sight, rows } = writing;
  const { release } = rest;
  const before = rows.moves.get(release)?.before ?? named(sight.releases, release).row.phase;
  rows.moves.set(release, { ...rest, before, to });
  say(writing, release, `release-${to}`, message);
}

function say({ sight, rows }: Writing, release: ReleaseId, type: EventType, message: string): void {
  rows.events.push({ app: sight.app.id, release, type, message });
}

const REMOVAL_WORDS: Readonly<Record<RemovalReason, string>> = {
  "app-deleted": "the app was deleted",
  "old-release": "another release takes its place",
  "in-the-way": "the pod of a newer release cannot stand beside it",
  "release-failed": "its release failed",
  surplus: "fewer pods are asked for",
  "node-lost": "its node was silent for too long, and others took its place",
  "node-drained": "its node is drained",
  "node-fenced": "its node was fenced",
};

/** What else the rows of all apps depend on. */
export type Known = {
  readonly generations: Scene["generations"];
  /** The ports of their nodes that pods have. */
  readonly ports: ReadonlyMap<NodeId, ReadonlySet<number>>;
  /** The last words on where a release's pods are to be: the same are not said again. */
  readonly said: ReadonlyMap<ReleaseId, string>;
};

/** The rows of many apps, together. */
export function together(
  all: readonly AppRows[],
  { generations, ports, said }: Known,
  random: Chance["random"],
): Changes {
  const taken = new Map([...ports].map(([node, of]) => [node, new Set(of)]));
  const placed = all.flatMap((rows) =>
    rows.placed.map(({ door, ...pod }) => {
      if (!door) return { ...pod, nodePort: null };
      const there = taken.get(pod.node) ?? new Set();
      const nodePort = freePort(there, random);
      taken.set(pod.node, there.add(nodePort));
      return { ...pod, nodePort };
    }),
  );
  const touched = new Set(all.flatMap((rows) => [...rows.nodes]));
  const claimed = all.flatMap((rows) => rows.claimed);
  return {
    texts: new Map(all.flatMap((rows) => [...rows.texts])),
    placed,
    adopted: all.flatMap((rows) => rows.adopted),
    removed: all.flatMap((rows) => rows.removed),
    claimed: [...new Map(claimed.map((it) => [`${it.project}/${it.name}`, it])).values()],
    nodes: new Map([...touched].map((id) => [id, named(generations, id)])),
    apps: all.filter((rows) => rows.nodes.size > 0).map((rows) => rows.app),
    moves: all.flatMap((rows) => [...rows.moves.values()]),
    events: unsaid(
      all.flatMap((rows) => rows.events),
      said,
    ),
  };
}

const DOORS = NODE_PORTS.last - NODE_PORTS.first + 1;

/** Any port that is not taken; random, since another pass may choose for the same node at the same time. */
function freePort(taken: ReadonlySet<number>, random: () => number): number {
  const start = Math.floor(random() * DOORS);
  for (let step = 0; step < DOORS; step++) {
    const port = NODE_PORTS.first + ((start + step) % DOORS);
    if (!taken.has(port)) return port;
  }
  throw new Error("a pod was placed on a node that has no port left for it");
}

/** Why a pod waits is said once: the same words are not repeated before a pod found its place. */
function unsaid(events: readonly Event[], said: Known["said"]): readonly Event[] {
  const last = new Map<ReleaseId | null, string>(said);
  return events.filter(({ release, type, message }) => {
    if (type !== "pod-waiting" && type !== "pod-placed") return true;
    const isNew = type === "pod-placed" || last.get(release) !== message;
    last.set(release, message);
    return isNew;
  });
}

function named<Id, T>(rows: ReadonlyMap<Id, T>, id: Id): T {
  const row = rows.get(id);
  if (row === undefined) throw new Error(`the plan names ${id}, which its world did not hold`);
  return row;
}
