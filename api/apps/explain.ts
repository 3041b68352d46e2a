import { AppSpec } from "../../contract/app/app-spec.ts";
import { fieldErrors } from "../../contract/document/mistakes.ts";
import type { NodeId } from "../../contract/ids.ts";
import { jsonBytes } from "../../contract/node/wish-size.ts";
import { demandsOf } from "../../contract/placement/demands.ts";
import { draftOf } from "../../contract/placement/draft.ts";
import { forecast, whyThere, withoutPod } from "../../contract/placement/explain.ts";
import { unknownPods } from "../../contract/placement/filter.ts";
import { findPlaces } from "../../contract/placement/find-places.ts";
import { type Judge, judgeOf } from "../../contract/placement/judge.ts";
import { type Asked, nodeOf, type Surroundings } from "../../contract/placement/node-view.ts";
import { spreadOf } from "../../contract/placement/score.ts";
import { mayStay, mostSpread } from "../../contract/placement/staying.ts";
import { strategyOf, strategyWords } from "../../contract/placement/strategy.ts";
import { canonicalJson } from "../../contract/pod/pod.ts";
import { type AppRow, withDefaults } from "../../db/apps/apps.ts";
import {
  findRelease,
  lastOfPlaces,
  type ReleaseRow,
  wantedAndLive,
} from "../../db/apps/history.ts";
import { heldReleases, type PodRow, standingPods } from "../../db/apps/placements.ts";
import type { Tx } from "../../db/client.ts";
import { withoutAddress } from "../../db/nodes/addresses.ts";
import { type Fleet, readFleet } from "../../db/nodes/fleet.ts";
import { versionKeys } from "../../db/nodes/wish-sizes.ts";
import { type Materials, NO_MATERIALS } from "../../db/schema/core.ts";
import { volumeHomes } from "../../db/volumes/homes.ts";
import type { KnownCall } from "../http/route.ts";
import type { ExplainAnswer, PlanAnswer } from "./answers.ts";

/* Where an app's pods are and would be, by the same pure functions that the worker places them by. */

/** What no node could take, as the scheduler wrote it down. */
const NO_NODE = "no node can take the pod";
/** Of a pod that is only there for people. */
const HELD =
  "its release failed, and it stays to be looked into until the next one: rollout.autoRevert is false";
/** As many nodes are told in one answer: of thousands most say the same. */
const NODES_TOLD = 100;
const NOTHING_MORE = { textBytes: 0, door: false, materials: new Map<string, number>() };

/** What a release is, or would be. */
export type Wished = { readonly spec: AppSpec; readonly materials: Materials };

/** The nodes as they stand, looked at once for many plans. */
export type Around = Pick<Fleet, "nodes" | "versions">;

export async function lookAround(
  tx: Tx,
  { caller }: KnownCall,
  wishes: readonly Wished[],
): Promise<Around> {
  const frozen = wishes.map(({ materials }) => ({ project: caller.projectId, materials }));
  return await readFleet(tx, frozen);
}

/** Why each pod of the app is where it is, and why those that are missing are nowhere. */
export async function explainApp(tx: Tx, call: KnownCall, app: AppRow): Promise<ExplainAnswer> {
  const release = await wantedRelease(tx, app);
  const wish = release ?? { spec: withDefaults(app.spec), materials: NO_MATERIALS };
  const pods = await wantedPods(tx, app);
  const held = (await heldReleases(tx, [app.id])).get(app.id);
  const standing = pods.filter(
    (it) => it.release === release?.id || (it.release === held && it.status?.ready),
  );
  const around = await lookAround(tx, call, [wish]);
  const looked = await lookAt(tx, call, wish, release?.number ?? 0, pods, around);
  const place = placedIn(looked, pods);
  const takesRequests = release !== undefined && release.httpPort !== null;
  return {
    app: app.name,
    release: release?.number ?? null,
    strategy: looked.refused ?? strategyWords(looked.strategy),
    pods: pods.map((pod) => ({ ...place(pod), ...(pod.release === held && { why: HELD }) })),
    waiting: release ? await waitingOf(tx, looked, release, standing) : [],
    unreached: takesRequests ? await unreached(tx, nodesOf(pods)) : [],
  };
}

/** In words why other hosts' ingresses know no way to the pods of these nodes. */
async function unreached(
  tx: Tx,
  nodes: readonly NodeId[],
): Promise<ExplainAnswer["unreached"][number][]> {
  const without = await withoutAddress(tx, nodes);
  return without.map(({ name, told }) => {
    const what = told === null ? "it tells no address" : `its address ${told} is not taken`;
    return { node: name, why: `${what}: only its own ingress has routes to its pods` };
  });
}

function nodesOf(pods: readonly PodRow[]): readonly NodeId[] {
  return [...new Set(pods.map((it) => it.node))];
}

/** Where the pods of this wish would be: those that run as it says stay, and others come. */
export async function planPods(
  tx: Tx,
  call: KnownCall,
  wish: Wished,
  app: AppRow | undefined,
  around: Around,
): Promise<PlanAnswer> {
  const base = app && (await wantedRelease(tx, app));
  const pods = app ? await wantedPods(tx, app) : [];
  const looked = await lookAt(tx, call, wish, (base?.number ?? 0) + 1, pods, around);
  const { nodeSelector } = looked.asked.demands;
  const stays = ({ release, node, text }: PodRow) =>
    release === base?.id &&
    mayStay(nodeOf(around.nodes, node), text.demands.nodeSelector, nodeSelector);
  const alike = base && runsAs(base, wish) ? pods.filter(stays) : [];
  const { spreadBy } = looked.asked;
  const unready = ({ status }: PodRow) => Number(!status?.ready);
  const staying = mostSpread(around.nodes, spreadBy, alike, wish.spec.replicas, unready);
  const coming = forecast(looked.around, looked.asked, {
    count: wish.spec.replicas - staying.length,
    strategy: looked.strategy,
    staying: staying.map((it) => it.node),
    old: pods.filter((it) => !alike.includes(it)),
  });
  const { waiting } = coming;
  const why = waiting?.why ?? noNode(looked.around);
  return {
    strategy: strategyWords(looked.strategy),
    pods: [
      ...staying.map(placedIn(looked, pods)),
      ...coming.placed.map((it) => ({ pod: null, ...it })),
    ],
    waiting: waiting ? [{ pods: waiting.pods, why, nodes: someOf(waiting.against) }] : [],
  };
}

type Looked = {
  readonly around: Surroundings;
  readonly asked: Asked;
  readonly strategy: ReturnType<typeof strategyOf>;
  /** Why nothing is known of what the spec asks for; undefined where it is. */
  readonly refused: string | undefined;
};

/** What is asked for in the place of a spec that is refused. */
const NOTHING = AppSpec.parse({ name: "nothing", image: "nothing" });

async function lookAt(
  tx: Tx,
  { caller }: KnownCall,
  { spec, materials }: Wished,
  release: number,
  pods: readonly PodRow[],
  { nodes, versions }: Around,
): Promise<Looked> {
  const refused = refusedToday(spec);
  const known = refused === undefined ? spec : NOTHING;
  const draft = draftOf(known, caller.projectName, release);
  const { nodeSelector, spreadBy } = known.placement;
  const demands = demandsOf(draft, nodeSelector);
  const keys = versionKeys({ project: caller.projectId, materials });
  const wish = {
    textBytes: jsonBytes(draft),
    // Whether it takes requests is known when it is built: a node without a port left is rarer than that.
    door: false,
    materials: new Map(keys.map((it) => [it, versions.get(it) ?? 0])),
  };
  const claims = [...demands.claims, ...pods.flatMap((it) => it.text.demands.claims)];
  const unbound = claims.map((it): [string, NodeId | undefined] => [it, undefined]);
  const ofProject = claims.map((name) => ({ project: caller.projectId, name }));
  const homes = (await volumeHomes(tx, ofProject)).get(caller.projectId) ?? [];
  const around = { nowMs: Date.now(), nodes, volumes: new Map([...unbound, ...homes]) };
  return { around, asked: { demands, wish, spreadBy }, strategy: strategyOf(draft), refused };
}

/** What the rules of today have against a spec that was stored under those of its time; undefined: nothing. */
function refusedToday(stored: AppSpec): string | undefined {
  const read = AppSpec.safeParse(stored);
  if (read.success) return undefined;
  const [first] = fieldErrors(read.error, AppSpec);
  return `its spec was taken under earlier rules, and is refused today: ${first?.pointer} ${first?.message}; declare it anew`;
}

async function wantedRelease(tx: Tx, app: AppRow): Promise<ReleaseRow | undefined> {
  const wanted = (await wantedAndLive(tx, [app.id])).get(app.id)?.wanted;
  const release = wanted == null ? undefined : await findRelease(tx, app.id, wanted);
  return release && { ...release, spec: withDefaults(release.spec) };
}

async function wantedPods(tx: Tx, app: AppRow): Promise<readonly PodRow[]> {
  const pods = await standingPods(tx, [app.id]);
  return pods
    .filter((it) => it.wanted === "run")
    .sort((a, b) => a.createdAt.getTime() - b.createdAt.getTime() || (a.id < b.id ? -1 : 1));
}

/** Of each of an app's pods where it is and why; pods of one text ask for the same, and of the same judge. */
function placedIn({ around, asked: { spreadBy } }: Looked, all: readonly PodRow[]) {
  const judges = new Map<PodRow["text"], Judge>();
  return (pod: PodRow) => {
    const node = nodeOf(around.nodes, pod.node);
    if (!node) return { pod: pod.name, node: "a node that has gone", why: "its node was removed" };
    const { demands } = pod.text;
    const judge = judges.get(pod.text) ?? judgeOf({ demands, wish: NOTHING_MORE, spreadBy });
    judges.set(pod.text, judge);
    const siblings = all.filter((it) => it !== pod && it.release === pod.release);
    const spread = spreadOf(
      around.nodes,
      spreadBy,
      siblings.map((it) => it.node),
    );
    const why = whyThere(judge, withoutPod(around, pod), node, spread);
    return { pod: pod.name, node: node.name, why };
  };
}

async function waitingOf(
  tx: Tx,
  { around, asked, strategy, refused }: Looked,
  release: ReleaseRow,
  standing: readonly PodRow[],
): Promise<PlanAnswer["waiting"]> {
  const missing = release.spec.replicas - standing.length;
  if (missing <= 0) return [];
  const waits = (why: string, nodes: readonly string[] = []) => [
    { pods: missing, why, nodes: someOf(nodes) },
  ];
  if (release.phase === "pending" || release.phase === "building")
    return waits(`release ${release.number} is not built yet`);
  if (refused !== undefined) return waits(refused);
  const unknown = strategy.kind === "recreate" ? unknownPods(around.nodes) : undefined;
  if (unknown !== undefined) return waits(unknown);
  const last = await lastOfPlaces(tx, release.id);
  if (last?.type !== "pod-waiting") return waits(`their turn in the rollout has not come yet`);
  if (!last.message.startsWith(NO_NODE)) return waits(last.message);
  const [found] = findPlaces(
    around,
    asked,
    1,
    standing.map((it) => it.node),
  );
  if (found?.kind === "wait") return waits(noNode(around), found.against);
  return waits("no node could take the pod when the scheduler last looked; it looks again soon");
}

function someOf(against: readonly string[]): string[] {
  const more = against.length - NODES_TOLD;
  return more > 0 ? [...against.slice(0, NODES_TOLD), `and ${more} more nodes`] : [...against];
}

function noNode({ nodes }: Surroundings): string {
  return nodes.length === 0 ? `${NO_NODE}: none has joined yet` : NO_NODE;
}

/** Whether pods of this release need not be made anew; as far as that is known before images are. */
function runsAs(release: ReleaseRow, wish: Wished): boolean {
  const podsOf = ({ spec, materials }: Wished) =>
    canonicalJson({ ...spec, replicas: 0, rollout: {}, placement: {}, materials });
  return podsOf(release) === podsOf(wish);
}
