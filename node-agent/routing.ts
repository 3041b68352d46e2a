import type { PodId } from "../contract/ids.ts";
import type { Route } from "../contract/node-protocol.ts";
import type { IngressRoute } from "./ingress/routes.ts";
import type { SeenSandbox } from "./observe.ts";
import type { Verdict } from "./probes/verdict.ts";

export type RoutingView = {
  readonly routes: readonly Route[];
  /** Sandboxes that are what was asked for and are not being taken away. */
  readonly pods: ReadonlyMap<PodId, SeenSandbox>;
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
      pods.filter((uid) => !view.upstreams.has(`${view.pods.get(uid)?.ip}:${port}`)),
    ),
  );
}

function address(uid: PodId, port: number, view: RoutingView): string | undefined {
  const sandbox = view.pods.get(uid);
  if (sandbox?.ip === undefined) return undefined;
  const upstream = `${sandbox.ip}:${port}`;
  const running = sandbox.containers.filter((it) => it.state === "running");
  const willing = running.some((it) => {
    const readiness = view.verdicts.get(it.id)?.readiness ?? "not-ready";
    return readiness === "ready" || (readiness === "unknown" && view.upstreams.has(upstream));
  });
  return willing ? upstream : undefined;
}
