import { type AppProxy, appProxy, CHECK, HOP, nearProxy, plainText } from "./proxy.ts";

/**
 * A node port: where the other nodes' ingresses ask for one pod of this node. Only this node knows
 * whether the pod takes requests. It says so when it is asked; and a request that comes for a pod that
 * does not goes on to the app's others from here, once. It is not refused: by then the other ingress
 * has given away the request's body, and has nothing to try again with.
 */
export type Door = {
  readonly port: number;
  /** `ip:port` of the pod, while it is ready and stays. */
  readonly pod: string | undefined;
};

/**
 * Its server in Caddy. `peers` are the only ones let in, and are believed about whom they ask for;
 * `asks` is as in `appProxy`. Pure.
 */
export function doorServer(
  door: Door,
  app: AppProxy,
  { peers, asks }: { readonly peers: readonly string[]; readonly asks: number },
): object {
  const host = app.hosts;
  const { pod } = door;
  const onward = pod === undefined && app.upstreams.length + app.remote.length > 0;
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
        handle: [plainText(pod === undefined ? 503 : 200, "")],
        terminal: true,
      },
      ...(pod === undefined
        ? []
        : [
            {
              match: [{ host }],
              handle: [{ ...nearProxy([pod], { delete: [HOP] }), trusted_proxies: peers }],
              terminal: true,
            },
          ]),
      ...(onward
        ? [
            {
              match: [{ host, header: { [HOP]: ["1"] } }],
              handle: [{ ...appProxy(app, { asks, hop: 2 }), trusted_proxies: peers }],
              terminal: true,
            },
          ]
        : []),
      { handle: [plainText(503, "This pod takes no requests.\n", { "retry-after": ["1"] })] },
    ],
  };
}
