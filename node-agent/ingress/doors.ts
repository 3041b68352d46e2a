import { errorRoutes, nobodyAnswers } from "./errors.ts";
import { type AppProxy, appProxy, CHECK, HOP, nearProxy, plainText } from "./proxy.ts";

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

type Surroundings = {
  readonly peers: readonly string[];
  readonly asks: number;
  readonly ingressSocket: string;
};

/**
 * Its server in Caddy. `peers` are the only ones let in, and are believed about whom they ask for;
 * `asks` is as in `appProxy`. Pure.
 */
export function doorServer(
  door: Door,
  app: AppProxy,
  { peers, asks, ingressSocket }: Surroundings,
): object {
  const host = app.hosts;
  const { pod } = door;
  const further = pod === undefined ? onward(app, asks) : [];
  const isOpen = pod !== undefined || (door.gone && further.length > 0);
  return {
    listen: [`:${door.port}`],
    automatic_https: { disable: true },
    routes: [
      {
        match: [{ not: [{ remote_ip: { ranges: peers } }] }],
        handle: [{ handler: "static_response", abort: true }],
        terminal: true,
      },
      {
        match: [{ host, header: { [CHECK]: ["1"] } }],
        handle: [plainText(isOpen ? 200 : 503, "")],
        terminal: true,
      },
      ...(pod === undefined
        ? []
        : [
            {
              match: [{ host }],
              handle: [{ ...nearProxy([pod]), trusted_proxies: peers }],
              terminal: true,
            },
          ]),
      ...further.map(({ hop, handle }) => ({
        match: [{ host, ...(hop !== undefined && { header: { [HOP]: [String(hop)] } }) }],
        handle: [{ ...handle, trusted_proxies: peers }],
        terminal: true,
      })),
      { handle: [nobodyAnswers(503)] },
    ],
    errors: errorRoutes(ingressSocket),
  };
}

/** Through so many ingresses at most, one of which may know no more than the one before. */
const MAX_HOPS = 3;

/** Where a request goes on to, by how many ingresses it came through: this node's ready pods are sure to be so. */
function onward(
  app: AppProxy,
  asks: number,
): readonly { readonly hop?: number; readonly handle: object }[] {
  if (app.upstreams.length > 0) return [{ handle: nearProxy(app.upstreams) }];
  if (app.remote.length === 0) return [];
  return Array.from({ length: MAX_HOPS - 1 }, (_, index) => {
    const hop = index + 1;
    return { hop, handle: appProxy(app, { asks, hop: hop + 1 }) };
  });
}

/** How many of an app's doors here pass requests on to those of other nodes, once for each way that asks these. */
export function askingDoors(app: AppProxy, doors: readonly Door[]): number {
  const closed = app.upstreams.length > 0 ? 0 : doors.filter((it) => it.pod === undefined).length;
  return closed * (MAX_HOPS - 1);
}
