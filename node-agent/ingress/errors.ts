import { AGAIN, CHECK, FORWARDED, HOP, plainText, TRY_FOR_SECONDS } from "./proxy.ts";

/** Routes may change several times a second, and a request must not go round for ever. */
const AT_MOST = 20;

/**
 * Whether a request had waited for a pod when other routes came, and no pod can have got it: Caddy
 * lets those that wait fail when it unloads the routes that they wait by, however long they have waited.
 */
const CUT_SHORT = [
  `{http.request.duration_ms} < ${TRY_FOR_SECONDS * 1_000 - 100}.0`,
  "({http.request.method} == 'GET' || {http.reverse_proxy.upstream.hostport} == null)",
].join(" && ");

/**
 * What a server does with a request that failed: one that was cut short begins anew, with the routes
 * that are there by now; any other is answered in words, where Caddy by itself says nothing. Pure.
 */
export function errorRoutes(ingressSocket: string): object {
  const again = `{http.request.header.${AGAIN}}x`;
  return {
    routes: [
      {
        match: [
          {
            expression: CUT_SHORT,
            not: [{ header_regexp: { [AGAIN]: { pattern: `^x{${AT_MOST}}` } } }],
          },
        ],
        handle: [
          {
            handler: "reverse_proxy",
            upstreams: [{ dial: `unix/${ingressSocket}` }],
            headers: {
              request: { set: { ...FORWARDED, [AGAIN]: [again] }, delete: [HOP, CHECK] },
            },
            transport: { protocol: "http", keep_alive: { enabled: false } },
          },
        ],
        terminal: true,
      },
      { handle: [nobodyAnswers("{http.error.status_code}")] },
    ],
  };
}

export function nobodyAnswers(status: number | string): object {
  const text = "No pod of this app answers. Ask again in a moment.\n";
  return plainText(status, text, { "Retry-After": ["1"] });
}
