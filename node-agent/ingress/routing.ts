import type { PodId } from "../../contract/ids.ts";
import type { Route } from "../../contract/node/protocol.ts";
import type { Pod } from "../../contract/pod/pod.ts";
import type { SeenSandbox } from "../observe.ts";
import type { WantedPod } from "../plan/plan.ts";
import { isPodReady, type Verdicts } from "../plan/readiness.ts";
import type { Door } from "./doors.ts";
import { hostPort } from "./proxy.ts";
import type { IngressRoute } from "./routes.ts";

/** A pod as it was asked for, and the sandbox that is so and is not being taken away. */
export type StayingPod = { readonly pod: Pod; readonly sandbox: SeenSandbox };
export type StayingPods = ReadonlyMap<PodId, StayingPod>;

export type RoutingView = {
  readonly routes: readonly Route[];
  readonly pods: StayingPods;
  readonly verdicts: Verdicts;
};

/** The sandbox of each wanted pod that is as it should be, unless it is among the `departing` ones. Pure. */
export function stayingPods(
  wanted: readonly WantedPod[],
  seen: readonly SeenSandbox[],
  departing: ReadonlySet<string>,
): StayingPods {
  const living = new Map<string, SeenSandbox>();
  for (const it of seen) {
    const key = `${it.pod} ${it.fingerprint}`;
    if (it.ready && !living.has(key)) living.set(key, it);
  }
  const staying = new Map<PodId, StayingPod>();
  for (const { pod, fingerprint } of wanted) {
    const sandbox = living.get(`${pod.metadata.uid} ${fingerprint}`);
    if (sandbox && !departing.has(sandbox.id)) staying.set(pod.metadata.uid, { pod, sandbox });
  }
  return staying;
}

/** For each app the addresses of those pods that are ready, here and elsewhere, and the doors to those here. */
export function ingressRoutes({ routes, pods, verdicts }: RoutingView): readonly IngressRoute[] {
  const addressOf = (uid: PodId, port: number) => {
    const found = pods.get(uid);
    if (found?.sandbox.ip === undefined) return undefined;
    const ready = isPodReady(found.pod, found.sandbox, verdicts);
    return ready ? `${found.sandbox.ip}:${port}` : undefined;
  };
  const doorsOf = ({ nodePorts, pods: ofApp, port: ofPod }: Route): readonly Door[] =>
    Object.entries(nodePorts).flatMap(([uid, port]) => {
      const wanted = ofApp.find((it) => it === uid);
      const pod = wanted && addressOf(wanted, ofPod);
      return port === undefined ? [] : { port, pod, gone: wanted === undefined };
    });
  return [...Map.groupBy(routes, (it) => it.app).values()].flatMap((group) => {
    const [first] = group;
    if (!first) return [];
    const ready = group.flatMap((it) => it.pods.map((uid) => addressOf(uid, it.port)));
    return {
      app: first.app,
      hosts: first.hosts,
      upstreams: ready.filter((it) => it !== undefined),
      remote: group.flatMap((it) => it.remote.map(({ address, port }) => hostPort(address, port))),
      doors: group.flatMap(doorsOf).toSorted((a, b) => a.port - b.port),
    };
  });
}

/** Pods that a route names and that the ingress does not send requests to, as `upstreams` tells. */
export function unroutedPods(
  routes: readonly Route[],
  pods: StayingPods,
  upstreams: ReadonlySet<string>,
): ReadonlySet<PodId> {
  return new Set(
    routes.flatMap((route) =>
      route.pods.filter((uid) => !upstreams.has(`${pods.get(uid)?.sandbox.ip}:${route.port}`)),
    ),
  );
}

/** An address that the runtime does not tell may be one that requests go to: then all routes stay. */
export function allAddressesKnown(pods: StayingPods): boolean {
  return [...pods.values()].every(({ sandbox }) => sandbox.ip !== undefined || !sandbox.unclear);
}
