import type { PodId } from "../contract/ids.ts";
import type { Route } from "../contract/node-protocol.ts";
import type { Pod } from "../contract/pod.ts";
import type { IngressRoute } from "./ingress/routes.ts";
import type { SeenSandbox } from "./observe.ts";
import type { Verdict } from "./probes/verdict.ts";

/** A pod as it was asked for, and the sandbox that is so and is not being taken away. */
export type StayingPod = { readonly pod: Pod; readonly sandbox: SeenSandbox };

export type RoutingView = {
  readonly routes: readonly Route[];
  readonly pods: ReadonlyMap<PodId, StayingPod>;
  readonly verdicts: ReadonlyMap<string, Verdict>;
  /** Where the ingress sends requests right now. */
  readonly upstreams: ReadonlySet<string>;
};

/**
 * The routes with the addresses of those pods that are ready. One that was found running and not
 * asked yet stays where the ingress has it: the agent's own restart takes no pod out of its routes.
 */
export function ingressRoutes(view: RoutingView): readonly IngressRoute[] {
  return view.routes.map(({ app, hosts, port, pods }) => ({
    app,
    hosts,
    upstreams: pods.map((uid) => address(uid, port, view)).filter((it) => it !== undefined),
  }));
}

/** Pods that a route names and that the ingress does not send requests to. */
export function unroutedPods(view: Omit<RoutingView, "verdicts">): ReadonlySet<PodId> {
  return new Set(
    view.routes.flatMap(({ pods, port }) =>
      pods.filter((uid) => !view.upstreams.has(`${view.pods.get(uid)?.sandbox.ip}:${port}`)),
    ),
  );
}

function address(uid: PodId, port: number, view: RoutingView): string | undefined {
  const found = view.pods.get(uid);
  if (found?.sandbox.ip === undefined) return undefined;
  const { pod, sandbox } = found;
  const upstream = `${sandbox.ip}:${port}`;
  const willing = pod.spec.containers.every(({ name }) => {
    const container = sandbox.containers.find((it) => it.name === name);
    if (container?.state !== "running") return false;
    const readiness = view.verdicts.get(container.id)?.readiness ?? "not-ready";
    return readiness === "ready" || (readiness === "unknown" && view.upstreams.has(upstream));
  });
  return willing ? upstream : undefined;
}
