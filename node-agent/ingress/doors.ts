import { errorRoutes, nobodyAnswers } from "./errors.ts";
import {
  AGAIN,
  type AppProxy,
  type Asking,
  CHECK,
  doorsProxy,
  HOP,
  KEY,
  keyText,
  nearProxy,
  plainText,
} from "./proxy.ts";

/**
 * A node port: where the other nodes' ingresses ask for one pod of this node. Only this node knows
 * whether the pod takes requests. It says so when it is asked; and a request that comes for a pod that
 * does not goes on to the app's others from here. It is not refused: by then the other ingress has
 * given away the request's body, and has nothing to try again with.
 */
export type Door = {
  readonly port: number;
  /** `ip:port` of the pod, while it is ready and stays. */
  readonly pod: string | undefined;
  /** Whoever still asks here does not know the app's newer pods, and is led on to them. */
  readonly gone: boolean;
};

/** Where this node's own ingress asks; no pod comes from there. */
const LOOPBACK = "127.0.0.1";

type Surroundings = Asking & {
  readonly peers: readonly string[];
  readonly ingressSocket: string;
};

/**
 * Its server in Caddy. Only `peers` and this node's own ingress are let in, and of those only ingresses,
 * which have the key, are believed about whom they ask for: their pods come from the same addresses. Pure.
 */
export function doorServer(
  door: Door,
  app: AppProxy,
  { peers, ingressSocket, ...asking }: Surroundings,
): object {
  const host = app.hosts;
  const { pod } = door;
  const ways: readonly Way[] = pod === undefined ? onward(app, asking) : [wayTo([pod])];
  const isOpen = pod !== undefined || (door.gone && ways.length > 0);
  return {
    listen: [`:${door.port}`],
    automatic_https: { disable: true },
    routes: [
      {
        match: [{ not: [{ remote_ip: { ranges: [LOOPBACK, ...peers] } }] }],
        handle: [{ handler: "static_response", abort: true }],
        terminal: true,
      },
      notBelieved(asking.ingressKey),
      {
        match: [{ host, header: { [CHECK]: ["1"] } }],
        handle: [plainText(isOpen ? 200 : 503, "")],
        terminal: true,
      },
      ...ways.map(({ hop, handle }) => ({
        match: [{ host, ...(hop !== undefined && { header: { [HOP]: [String(hop)] } }) }],
        handle: [handle],
        terminal: true,
      })),
      { handle: [nobodyAnswers(503)] },
    ],
    errors: errorRoutes(ingressSocket),
  };
}

/** What a request may say of who asks, and of how often it began anew, which only its own node knows. */
const CLAIMS = ["Forwarded", "X-Forwarded-*", "X-Real-Ip", AGAIN];

/**
 * A request without the key is served, since the other node may not have been told it yet, and is said to
 * come from where it does. What else it may say harms nobody: a check tells what a request would, and the
 * hops that are known here lead a request on a few times at most.
 */
function notBelieved(ingressKey: string | undefined): object {
  return {
    match: [
      {
        // Without a key only this node's own ingress is sure to be one.
        not: [
          ingressKey === undefined
            ? { remote_ip: { ranges: [LOOPBACK] } }
            : { header: { [KEY]: [keyText(ingressKey)] } },
        ],
      },
    ],
    handle: [
      { handler: "headers", request: { delete: CLAIMS } },
      {
        handler: "headers",
        request: {
          set: {
            "X-Forwarded-For": ["{http.request.remote.host}"],
            "X-Forwarded-Host": ["{http.request.hostport}"],
            "X-Forwarded-Proto": ["http"],
          },
        },
      },
    ],
  };
}

/** For requests that came through `hop` ingresses, or through any number of them. */
type Way = { readonly hop?: number; readonly handle: object };

const wayTo = (pods: readonly string[]): Way => ({ handle: nearProxy(pods) });

/**
 * The doors of an app's pods, here and elsewhere. Caddy asks all that it passes a request on to in one way,
 * and tells them the same: so where an app has pods elsewhere, those here are asked for at their doors, too.
 * Undefined where it has none elsewhere, or one here has no door, as its port is another program's.
 */
export function doorsTo({
  upstreams,
  remote,
  doors,
}: Pick<AppProxy, "upstreams" | "remote"> & { readonly doors: readonly Door[] }):
  | readonly string[]
  | undefined {
  if (remote.length === 0) return undefined;
  const ports = upstreams.map((pod) => doors.find((it) => it.pod === pod)?.port);
  if (ports.includes(undefined)) return undefined;
  return [...ports.map((port) => `${LOOPBACK}:${port}`), ...remote];
}

/** Through so many ingresses at most, one of which may know no more than the one before. */
const MAX_HOPS = 3;

/** Where a request goes on to, by how many ingresses it came through: this node's ready pods are sure to be so. */
function onward(app: AppProxy, asking: Asking): readonly Way[] {
  if (app.upstreams.length > 0) return [wayTo(app.upstreams)];
  if (app.remote.length === 0) return [];
  return Array.from({ length: MAX_HOPS - 1 }, (_, index) => {
    const hop = index + 1;
    return { hop, handle: doorsProxy(app.hosts, app.remote, asking, hop + 1) };
  });
}

/** How many of an app's doors here pass requests on to those of other nodes, once for each way that asks these. */
export function askingDoors(app: AppProxy, doors: readonly Door[]): number {
  const closed = app.upstreams.length > 0 ? 0 : doors.filter((it) => it.pod === undefined).length;
  return closed * (MAX_HOPS - 1);
}
