import type { PodId } from "../../contract/ids.ts";
import type { DesiredState, Route } from "../../contract/node/protocol.ts";
import { imagesOf } from "../../contract/pod/pod.ts";
import { namedBy } from "./named-by.ts";

/**
 * A wish and, of the one before it, what is to stay for now though nobody there knows more of it than its
 * id: those pods, what they name, and the ways to them. The ways to pods of other nodes stay, too, all of
 * them: which of those are unknown is not said here, and doors that lead nowhere get no requests. Pure.
 */
export function withKept(
  state: DesiredState,
  before: DesiredState,
  ids: readonly PodId[],
): DesiredState {
  const wanted = new Set(state.pods.map((it) => it.metadata.uid));
  const pods = before.pods.filter(({ metadata: { uid } }) => ids.includes(uid) && !wanted.has(uid));
  const kept = new Set(pods.map((it) => it.metadata.uid));
  return {
    ...state,
    pods: [...state.pods, ...pods],
    routes: withWays(state.routes, before.routes, kept),
    configMaps: together(
      pods.flatMap((it) => namedBy(it, "ConfigMap", before.configMaps)),
      state.configMaps,
    ),
    secrets: together(
      pods.flatMap((it) => namedBy(it, "Secret", before.secrets)),
      state.secrets,
    ),
    keepImages: [...new Set([...state.keepImages, ...pods.flatMap((it) => imagesOf(it.spec))])],
  };
}

/** A host name or a port that now is another's leads there. */
function withWays(
  routes: readonly Route[],
  before: readonly Route[],
  kept: ReadonlySet<PodId>,
): Route[] {
  const ports = new Set(routes.flatMap((it) => Object.values(it.nodePorts)));
  const old = before.map((route): Route => {
    const doors = Object.entries(route.nodePorts).filter(
      ([pod, port]) => kept.has(pod as PodId) && port !== undefined && !ports.has(port),
    );
    const pods = route.pods.filter((it) => kept.has(it));
    return { ...route, pods, nodePorts: Object.fromEntries(doors) };
  });
  const apps = new Set(routes.map((it) => it.app));
  const hosts = new Set(routes.flatMap((it) => it.hosts));
  const lost = old
    .filter((it) => !apps.has(it.app) && it.pods.length + it.remote.length > 0)
    .map((it) => ({ ...it, hosts: it.hosts.filter((host) => !hosts.has(host)) }));
  return [...routes.map((route) => joined(route, old)), ...lost];
}

function joined(route: Route, old: readonly Route[]): Route {
  // Another port is another program behind it: a route has one.
  const same = old.find((it) => it.app === route.app && it.port === route.port);
  if (same === undefined) return route;
  const remote = [...same.remote, ...route.remote];
  return {
    ...route,
    pods: [...route.pods, ...same.pods],
    nodePorts: { ...same.nodePorts, ...route.nodePorts },
    remote: [...new Map(remote.map((it) => [it.pod, it])).values()],
  };
}

/** Of two of one name the later one counts. */
function together<T extends { readonly project: string; readonly name: string }>(
  before: readonly T[],
  now: readonly T[],
): T[] {
  return [...new Map([...before, ...now].map((it) => [`${it.project}/${it.name}`, it])).values()];
}
