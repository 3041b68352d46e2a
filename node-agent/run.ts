import { setImmediate } from "node:timers/promises";
import type { NodeId, PodId } from "../contract/ids.ts";
import type { DesiredState, NodeReport, Usage } from "../contract/node/protocol.ts";
import type { Pod } from "../contract/pod/pod.ts";
import type { Log } from "../kit/log.ts";
import type { Executors } from "./act/act.ts";
import { openUnderWay } from "./act/under-way.ts";
import type { Ledger } from "./disk/ledger.ts";
import type { Outcomes } from "./disk/outcomes.ts";
import type { Places } from "./disk/places.ts";
import type { Ingress } from "./ingress/keeper.ts";
import { allAddressesKnown, ingressRoutes, stayingPods, unroutedPods } from "./ingress/routing.ts";
import type { Observer, SeenSandbox } from "./observe.ts";
import { fingerprint } from "./plan/fingerprint.ts";
import { planNode, type World } from "./plan/plan.ts";
import { nextLookAtMs } from "./plan/plan-look.ts";
import type { Step } from "./plan/steps.ts";
import { type Wish, wishOf } from "./plan/wish.ts";
import { probeTargets } from "./probes/targets.ts";
import { failuresOf, type Transcripts, transcriptsAfter } from "./probes/transcripts.ts";
import type { ProbeWatch } from "./probes/watch.ts";
import { podStatuses } from "./report/report.ts";
import { withLogTail } from "./report/tails.ts";

/** What a node says of itself in every report. */
export type NodeFacts = Omit<NodeReport, "observedGeneration" | "observedMark" | "pods">;

export type PassDeps = {
  readonly ledger: Ledger;
  readonly observe: Observer;
  readonly outcomes: Outcomes;
  readonly watch: ProbeWatch;
  readonly ingress: Ingress;
  readonly executors: Executors;
  readonly places: Places;
  readonly log: Log;
  /** Everything that ran before this moment was found, not started, by this agent. */
  readonly startedAtMs: number;
  readonly facts: () => NodeFacts;
  /** Whether the api has said that the ledger's wish stands: by itself it may be long outdated. */
  readonly confirmed: () => boolean;
  readonly usage: () => ReadonlyMap<string, Usage>;
  readonly offer: (node: NodeId, report: NodeReport) => void;
  /** Asks for another pass: a step has ended, or something is due. */
  readonly wake: () => void;
};

/** What the last pass saw, for those who clean up. */
export type View = {
  readonly desired: DesiredState;
  readonly seen: readonly SeenSandbox[];
  readonly busy: ReadonlySet<PodId>;
};

export type NodePass = {
  /** One turn: look, decide, act, report. Steps are started and not waited for. */
  run(): Promise<void>;
  /** Undefined while nobody has decided what should be here: then nothing is left over. */
  lastView(): View | undefined;
  /** What the last pass found here, whoever wants it. */
  lastSeen(): readonly SeenSandbox[];
};

/** The loop itself looks this often, so nothing that is due later needs a wake of its own. */
const RELIST_MS = 1_000;

export function openNodePass(deps: PassDeps): NodePass {
  const underWay = openUnderWay(deps.executors, deps.log, deps.wake);
  const fingerprintOf = remembering(fingerprint);
  let transcripts: Transcripts = new Map();
  let nextLook: NodeJS.Timeout | undefined;
  let view: View | undefined;
  let lastSeen: readonly SeenSandbox[] = [];

  async function run(): Promise<void> {
    // Together: what the api confirms while this pass looks around may be another wish than this one.
    const [desired, confirmed] = [deps.ledger.current(), deps.confirmed()];
    // Taken before the list: a step that ends meanwhile must not be planned for with an old list.
    const before = underWay.steps();
    const seen = await deps.observe();
    lastSeen = seen;
    const wish = wishOf(desired, seen, fingerprintOf);
    if (wish.leaving) keepOnlyKnown(wish, seen);
    const world = worldOf(wish, seen, before, confirmed);
    const steps = planNode(world);
    const doing = new Map([...before, ...steps.map((it) => [it.uid, it] as const)]);
    // Known to whoever cleans up before the first step makes a folder.
    if (desired && wish.leaving) view = { desired, seen, busy: new Set(doing.keys()) };
    underWay.carryOut(steps);
    lookAgainAt(nextLookAtMs(world));
    // Lets the steps send their first calls before the rest of this turn takes its time.
    await setImmediate();
    await tell(desired, wish, seen, doing);
  }

  function worldOf(
    wish: Wish,
    seen: readonly SeenSandbox[],
    before: ReadonlyMap<PodId, Step>,
    confirmed: boolean,
  ): World {
    return {
      ...wish,
      seen,
      outcomes: deps.outcomes.all(),
      busy: new Set(before.keys()),
      setbacks: underWay.setbacks(),
      verdicts: deps.watch.verdicts(),
      confirmed,
      nowMs: Date.now(),
    };
  }

  function keepOnlyKnown({ wanted }: Wish, seen: readonly SeenSandbox[]): void {
    const pods = new Set(wanted.map((it) => it.pod.metadata.uid));
    underWay.giveUpOutdated(wanted);
    underWay.keepOnly(new Set([...pods, ...seen.map((it) => it.pod)]));
    deps.outcomes
      .keepOnly(pods)
      .catch((error: unknown) => deps.log.error("an outcome could not be forgotten", error));
  }

  function lookAgainAt(atMs: number | undefined): void {
    clearTimeout(nextLook);
    const inMs = (atMs ?? Number.POSITIVE_INFINITY) - Date.now();
    if (inMs < RELIST_MS) nextLook = setTimeout(deps.wake, inMs).unref();
  }

  /** Asks, routes to and reports the pods as they are now. */
  async function tell(
    desired: DesiredState | undefined,
    wish: Wish,
    seen: readonly SeenSandbox[],
    doing: ReadonlyMap<PodId, Step>,
  ): Promise<void> {
    const departing = departingIn(doing);
    const unrouted = route(desired, wish, seen, departing);
    transcripts = transcriptsAfter(transcripts, seen, deps.watch.verdicts());
    if (!desired) return;
    const statuses = podStatuses({
      ...wish,
      seen,
      outcomes: deps.outcomes.all(),
      busy: new Set(doing.keys()),
      departing,
      setbacks: underWay.setbacks(),
      verdicts: deps.watch.verdicts(),
      failuresOf: (pod, name) => failuresOf(transcripts, pod, name),
      usage: deps.usage(),
      unrouted,
      nowMs: Date.now(),
    });
    const pods = await Promise.all(statuses.map((it) => withLogTail(it, seen, deps.places)));
    const { node, generation, mark } = desired;
    const held = {
      observedGeneration: generation,
      ...(mark !== undefined && { observedMark: mark }),
    };
    deps.offer(node, { ...deps.facts(), ...held, pods });
  }

  /** Asks and routes to the pods that stay; answers which are not reached through the ingress yet. */
  function route(
    desired: DesiredState | undefined,
    { wanted, leaving }: Wish,
    seen: readonly SeenSandbox[],
    departing: ReadonlySet<string>,
  ): ReadonlySet<PodId> {
    const pods = stayingPods(wanted, seen, departing);
    deps.watch.sync([...pods.values()].flatMap((it) => probeTargets(it, deps.startedAtMs)));
    const routes = desired?.routes ?? [];
    // Where nothing runs there is no route to lose, and the other nodes' pods are reached all the same.
    const known = (leaving || seen.length === 0) && desired !== undefined;
    if (deps.ingress.upstreams() && known && allAddressesKnown(pods))
      deps.ingress.want({
        routes: ingressRoutes({ routes, pods, verdicts: deps.watch.verdicts() }),
        peers: desired?.peers ?? [],
        ingressKey: desired?.ingressKey,
      });
    return unroutedPods(routes, pods, deps.ingress.upstreams() ?? new Set());
  }

  return { run, lastView: () => view, lastSeen: () => lastSeen };
}

function departingIn(doing: ReadonlyMap<PodId, Step>): ReadonlySet<string> {
  const gone = [...doing.values()].flatMap((it) => ("sandboxes" in it ? it.sandboxes : []));
  return new Set(gone.map((it) => it.id));
}

/** A wish stays the same object from pass to pass, and hashing sixty pods each time would be felt. */
function remembering(fingerprintOf: (pod: Pod) => string): (pod: Pod) => string {
  const known = new WeakMap<Pod, string>();
  return (pod) => {
    const print = known.get(pod) ?? fingerprintOf(pod);
    known.set(pod, print);
    return print;
  };
}
