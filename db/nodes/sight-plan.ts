import type { PodId } from "../../contract/ids.ts";
import type { ContainerStatus, PodStatus } from "../../contract/node/protocol.ts";
import { canonicalJson } from "../../contract/pod/pod.ts";
import { type Happening, happeningsBetween } from "./sight-events.ts";

/** What the database knows of a pod on the reporting node. `status` is null before its first sighting. */
export type KnownPod<App, Release> = {
  readonly pod: PodId;
  readonly name: string;
  readonly release: Release;
  readonly app: App;
  readonly status: PodStatus | null;
};

export type SightChange<App, Release> = {
  /** Sightings to store; `moved` says that phase or readiness is another than before. */
  readonly store: readonly { readonly status: PodStatus; readonly moved: boolean }[];
  /** Pods that were seen before and are not there now. */
  readonly forget: readonly PodId[];
  /** Apps whose scheduler should look: something changed that matters to it. */
  readonly apps: readonly App[];
  /** Apps of which a pod became ready: other nodes are to send requests there. */
  readonly readied: readonly App[];
  /** What the apps' histories should say of it. */
  readonly happened: readonly (Happening & { readonly app: App; readonly release: Release })[];
  /** Pods in the report that are not this node's. */
  readonly strangers: readonly PodId[];
};

/**
 * What a node's report changes in what is known of its pods. Pure; the same report again changes
 * nothing, so a heartbeat stores nothing and wakes nobody.
 */
export function planSight<App, Release>(
  known: readonly KnownPod<App, Release>[],
  reported: readonly PodStatus[],
): SightChange<App, Release> {
  const byId = new Map(known.map((pod) => [pod.pod, pod]));
  const store: { status: PodStatus; moved: boolean }[] = [];
  const strangers: PodId[] = [];
  const happened: SightChange<App, Release>["happened"][number][] = [];
  const apps = new Set<App>();
  const readied = new Set<App>();
  const seen = new Set<PodId>();
  for (const status of reported) {
    const pod = byId.get(status.pod);
    if (!pod) strangers.push(status.pod);
    if (!pod || seen.has(status.pod)) continue;
    seen.add(status.pod);
    if (pod.status !== null && canonicalJson(pod.status) === canonicalJson(status)) continue;
    const { name, app, release } = pod;
    const told = happeningsBetween(name, pod.status, status);
    happened.push(...told.map((it) => ({ ...it, app, release })));
    store.push({ status, moved: pod.status === null || hasMoved(pod.status, status) });
    if (status.ready && pod.status?.ready !== true) readied.add(pod.app);
    if (pod.status === null || matters(pod.status, status)) apps.add(pod.app);
  }
  const forget = known.filter((pod) => pod.status !== null && !seen.has(pod.pod));
  for (const pod of forget) apps.add(pod.app);
  return {
    store,
    forget: forget.map((pod) => pod.pod),
    apps: [...apps],
    readied: [...readied],
    happened,
    strangers,
  };
}

function hasMoved(before: PodStatus, after: PodStatus): boolean {
  return before.phase !== after.phase || before.ready !== after.ready;
}

/** An answer to the probe may prove something each time that it comes again; a log's tail decides nothing. */
function matters(before: PodStatus, after: PodStatus): boolean {
  const answered = after.probe?.status !== undefined && before.probe?.times !== after.probe.times;
  return (
    hasMoved(before, after) ||
    before.restarts !== after.restarts ||
    before.reason !== after.reason ||
    lives(before.containers) !== lives(after.containers) ||
    answered
  );
}

/** How each container fares, without what changes all the time. */
function lives(containers: readonly ContainerStatus[]): string {
  return JSON.stringify(
    containers.map(({ name, state, reason, exitCode, restarts }) => [
      ...[name, state, reason, exitCode, restarts],
    ]),
  );
}
