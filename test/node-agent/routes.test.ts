import { expect, test } from "vitest";
import { openConnections } from "../../node-agent/host/connections.ts";
import { caddyConfig, type IngressRoute, upstreamsIn } from "../../node-agent/ingress/routes.ts";
import { ingressRoutes, unroutedPods } from "../../node-agent/ingress/routing.ts";
import type { Verdict } from "../../node-agent/probes/verdict.ts";
import { aPod, aRoute } from "../support/pods.ts";
import { aContainer, aSandbox, uidOf } from "./a-world.ts";

const verdict = (ready: boolean): Verdict => ({
  started: true,
  ready,
  kill: undefined,
  sight: undefined,
  failures: [],
});

const anApp = (said: Partial<IngressRoute> = {}): IngressRoute => ({
  app: "shop",
  hosts: ["shop.localhost"],
  upstreams: [],
  remote: [],
  doors: [],
  ...said,
});

const aPlan = (...apps: readonly Partial<IngressRoute>[]) => ({
  adminSocket: "/run/w/caddy.sock",
  ingressSocket: "/run/w/ingress.sock",
  routes: apps.map((it) => anApp(it)),
  peers: [],
});

test("the whole of Caddy's configuration is this", () => {
  const plan = aPlan(
    { upstreams: ["10.0.0.2:8080", "10.0.0.3:8080"] },
    { app: "cold", hosts: ["cold.localhost"] },
  );

  expect(caddyConfig(plan)).toMatchInlineSnapshot(`
    {
      "admin": {
        "listen": "unix//run/w/caddy.sock",
        "origins": [
          "localhost",
        ],
      },
      "apps": {
        "http": {
          "servers": {
            "waybill": {
              "automatic_https": {
                "disable": true,
              },
              "errors": {
                "routes": [
                  {
                    "handle": [
                      {
                        "handler": "reverse_proxy",
                        "headers": {
                          "request": {
                            "delete": [
                              "Waybill-Hop",
                              "Waybill-Check",
                            ],
                            "set": {
                              "Waybill-Again": [
                                "{http.request.header.Waybill-Again}x",
                              ],
                              "X-Forwarded-For": [
                                "{http.request.header.X-Forwarded-For}",
                              ],
                              "X-Forwarded-Host": [
                                "{http.request.header.X-Forwarded-Host}",
                              ],
                              "X-Forwarded-Port": [
                                "{http.request.port}",
                              ],
                              "X-Forwarded-Proto": [
                                "{http.request.header.X-Forwarded-Proto}",
                              ],
                            },
                          },
                        },
                        "transport": {
                          "keep_alive": {
                            "enabled": false,
                          },
                          "protocol": "http",
                        },
                        "upstreams": [
                          {
                            "dial": "unix//run/w/ingress.sock",
                          },
                        ],
                      },
                    ],
                    "match": [
                      {
                        "expression": "{http.request.duration_ms} < 4900.0 && ({http.request.method} == 'GET' || {http.reverse_proxy.upstream.hostport} == null)",
                        "not": [
                          {
                            "header_regexp": {
                              "Waybill-Again": {
                                "pattern": "^x{20}",
                              },
                            },
                          },
                        ],
                      },
                    ],
                    "terminal": true,
                  },
                  {
                    "handle": [
                      {
                        "body": "No pod of this app answers. Ask again in a moment.
    ",
                        "handler": "static_response",
                        "headers": {
                          "Content-Type": [
                            "text/plain; charset=utf-8",
                          ],
                          "Retry-After": [
                            "1",
                          ],
                        },
                        "status_code": "{http.error.status_code}",
                      },
                    ],
                  },
                ],
              },
              "listen": [
                "unix//run/w/ingress.sock",
              ],
              "routes": [
                {
                  "handle": [
                    {
                      "handler": "reverse_proxy",
                      "headers": {
                        "request": {
                          "delete": [
                            "Waybill-Check",
                            "Waybill-Hop",
                            "Waybill-Again",
                          ],
                          "set": {
                            "X-Forwarded-For": [
                              "{http.request.header.X-Forwarded-For}",
                            ],
                            "X-Forwarded-Host": [
                              "{http.request.header.X-Forwarded-Host}",
                            ],
                            "X-Forwarded-Port": [
                              "{http.request.port}",
                            ],
                            "X-Forwarded-Proto": [
                              "{http.request.header.X-Forwarded-Proto}",
                            ],
                          },
                        },
                      },
                      "health_checks": {
                        "passive": {
                          "fail_duration": "1s",
                          "max_fails": 5,
                        },
                      },
                      "load_balancing": {
                        "retry_match": [
                          {
                            "method": [
                              "GET",
                            ],
                          },
                          {
                            "expression": "{http.reverse_proxy.upstream.hostport} == null",
                          },
                        ],
                        "selection_policy": {
                          "policy": "least_conn",
                        },
                        "try_duration": "5s",
                        "try_interval": "50ms",
                      },
                      "transport": {
                        "dial_timeout": "2s",
                        "keep_alive": {
                          "idle_timeout": "10s",
                        },
                        "protocol": "http",
                      },
                      "upstreams": [
                        {
                          "dial": "10.0.0.2:8080",
                        },
                        {
                          "dial": "10.0.0.3:8080",
                        },
                      ],
                    },
                  ],
                  "match": [
                    {
                      "host": [
                        "shop.localhost",
                      ],
                    },
                  ],
                  "terminal": true,
                },
                {
                  "handle": [
                    {
                      "body": "The app "cold" has no ready pod right now. Ask again in a moment.
    ",
                      "handler": "static_response",
                      "headers": {
                        "Content-Type": [
                          "text/plain; charset=utf-8",
                        ],
                        "Retry-After": [
                          "1",
                        ],
                      },
                      "status_code": 503,
                    },
                  ],
                  "match": [
                    {
                      "host": [
                        "cold.localhost",
                      ],
                    },
                  ],
                  "terminal": true,
                },
                {
                  "handle": [
                    {
                      "body": "No app answers at this name. GET /v1/apps lists the apps and their URLs.
    ",
                      "handler": "static_response",
                      "headers": {
                        "Content-Type": [
                          "text/plain; charset=utf-8",
                        ],
                      },
                      "status_code": 404,
                    },
                  ],
                },
              ],
            },
          },
        },
      },
      "logging": {
        "logs": {
          "default": {
            "level": "WARN",
          },
        },
      },
    }
  `);
  expect(upstreamsIn(caddyConfig(plan))).toEqual(new Set(["10.0.0.2:8080", "10.0.0.3:8080"]));
});

test("the key goes to doors alone, and a door believes whoever has it", () => {
  const ingressKey = "5f0e8c6a-3b1d-4e57-8a94-2c7d10b6f3e9";
  const [near, door] = ["10.0.0.2:8080", "192.0.2.7:31000"];
  const doors = [{ port: 31_001, pod: near, gone: false }];
  const configOf = (said: Partial<IngressRoute>) =>
    JSON.stringify(caddyConfig({ ...aPlan(said), peers: ["192.0.2.7"], ingressKey }));
  const times = (said: Partial<IngressRoute>) => configOf(said).split(ingressKey).length - 1;

  expect(times({ upstreams: [near] })).toBe(0);
  expect(times({ upstreams: [near], doors })).toBe(1);
  expect(times({ remote: [door] })).toBe(1);
  const asking = configOf({ upstreams: [near], remote: [door], doors });
  expect(asking.match(/"active":\{.*?\}/)?.[0]).not.toContain(ingressKey);
  const believing = configOf({ upstreams: [near], doors });
  expect(believing).toContain(
    `"match":[{"not":[{"header":{"Proxy-Authorization":["Bearer ${ingressKey}"]}}]}]`,
  );
  expect(believing).not.toContain("trusted_proxies");
});

test("pods here are asked for at their doors where the app has others elsewhere, if each has one", () => {
  const [one, two, far] = ["10.0.0.2:8080", "10.0.0.3:8080", "192.0.2.7:31000"];
  const doorOf = (port: number, pod: string) => ({ port, pod, gone: false });
  const doors = [doorOf(31_001, one), doorOf(31_002, two)];
  const sendsTo = (said: Partial<IngressRoute>) => {
    const config = JSON.stringify(caddyConfig(aPlan({ upstreams: [one, two], ...said })));
    const { apps } = JSON.parse(config);
    return [...upstreamsIn(apps.http.servers.waybill)];
  };

  expect(sendsTo({ remote: [far], doors })).toEqual(["127.0.0.1:31001", "127.0.0.1:31002", far]);
  expect(sendsTo({ remote: [far], doors: doors.slice(1) })).toEqual([one, two]);
  expect(sendsTo({ doors })).toEqual([one, two]);
});

test("doors are asked less often the more questions there are, those of doors that pass on included", () => {
  const remote = Array.from({ length: 100 }, (_, at) => `10.9.0.2:${31_000 + at}`);
  const closed = { pod: undefined, gone: false };
  const passing = Array.from({ length: 9 }, (_, at) => ({ ...closed, port: 31_200 + at }));
  const intervals = (doors: typeof passing) =>
    new Set(JSON.stringify(caddyConfig(aPlan({ remote, doors }))).match(/"interval":"\d+s"/g));

  expect(intervals([])).toEqual(new Set(['"interval":"1s"']));
  expect(intervals(passing)).toEqual(new Set(['"interval":"10s"']));
});

test("requests go to ready pods only", () => {
  const [a, b] = [aPod(), aPod({ name: "web-2" })];
  const pods = new Map([
    [uidOf(a), { pod: a, sandbox: aSandbox(a, { ip: "10.0.0.2" }) }],
    [uidOf(b), { pod: b, sandbox: aSandbox(b, { ip: "10.0.0.3" }) }],
  ]);
  const upstreams = (verdicts: [string, Verdict][]) =>
    ingressRoutes({ routes: [aRoute([a, b])], pods, verdicts: new Map(verdicts) })[0]?.upstreams;

  expect(upstreams([["c1", verdict(true)]])).toEqual(["10.0.0.2:8080", "10.0.0.3:8080"]);
  expect(upstreams([["c1", verdict(false)]])).toEqual([]);
  expect(upstreams([])).toEqual([]);
});

test("a pod of two containers is asked once both are ready", () => {
  const one = aPod();
  const [web] = one.spec.containers;
  if (!web) throw new Error("a pod without a container");
  const pod = { ...one, spec: { ...one.spec, containers: [web, { ...web, name: "side" }] } };
  const side = { ...aContainer({ id: "c2" }), name: "side" };
  const upstreams = (verdicts: [string, Verdict][], containers = [aContainer(), side]) =>
    ingressRoutes({
      routes: [aRoute([pod])],
      pods: new Map([[uidOf(pod), { pod, sandbox: aSandbox(pod, { containers }) }]]),
      verdicts: new Map(verdicts),
    })[0]?.upstreams;
  const [good, bad] = [verdict(true), verdict(false)];

  expect(
    upstreams([
      ["c1", good],
      ["c2", good],
    ]),
  ).toEqual(["10.0.0.2:8080"]);
  expect(
    upstreams([
      ["c1", good],
      ["c2", bad],
    ]),
  ).toEqual([]);
  expect(upstreams([["c1", good]], [aContainer()])).toEqual([]);
});

test("a pod that is being taken away is in no route", () => {
  const pod = aPod();
  const view = {
    routes: [aRoute([pod])],
    pods: new Map(),
    verdicts: new Map([["c1", verdict(true)]]),
  };

  expect(ingressRoutes(view)[0]?.upstreams).toEqual([]);
});

test("a pod counts as routed once the ingress has its address", () => {
  const pod = aPod();
  const pods = new Map([[uidOf(pod), { pod, sandbox: aSandbox(pod) }]]);
  const routes = [aRoute([pod])];

  expect(unroutedPods(routes, pods, new Set())).toEqual(new Set([uidOf(pod)]));
  expect(unroutedPods(routes, pods, new Set(["10.0.0.2:8080"]))).toEqual(new Set());
});

test("a pod's door leads to it while it is ready, and to nobody else's pod when it has gone", () => {
  const [here, gone] = [aPod(), aPod({ name: "web-2" })];
  const nodePorts = { [uidOf(here)]: 31_002, [uidOf(gone)]: 31_001 };
  const remote = [
    { pod: uidOf(aPod()), address: "192.0.2.7", port: 31_005 },
    { pod: uidOf(aPod()), address: "2001:db8::7", port: 31_006 },
  ];
  const pods = new Map([[uidOf(here), { pod: here, sandbox: aSandbox(here) }]]);
  const [route] = ingressRoutes({
    routes: [{ ...aRoute([here]), nodePorts, remote }],
    pods,
    verdicts: new Map([["c1", verdict(true)]]),
  });

  expect(route).toMatchObject({
    upstreams: ["10.0.0.2:8080"],
    remote: ["192.0.2.7:31005", "[2001:db8::7]:31006"],
    doors: [
      { port: 31_001, pod: undefined, gone: true },
      { port: 31_002, pod: "10.0.0.2:8080", gone: false },
    ],
  });
});

test("requests to an app whose port changes reach pods on the old port and on the new one", () => {
  const [older, newer] = [aPod(), aPod({ name: "web-2" })];
  const pods = new Map([
    [uidOf(older), { pod: older, sandbox: aSandbox(older) }],
    [uidOf(newer), { pod: newer, sandbox: aSandbox(newer, { ip: "10.0.0.3" }) }],
  ]);
  const routes = [aRoute([older]), { ...aRoute([newer]), port: 9090 }];

  const all = ingressRoutes({ routes, pods, verdicts: new Map([["c1", verdict(true)]]) });

  expect(all.map((it) => it.upstreams)).toEqual([["10.0.0.2:8080", "10.0.0.3:9090"]]);
});

test("connections to a pod are those that the kernel calls established, to its port", () => {
  const table = `  sl  local_address rem_address   st tx_queue
   0: 0100000A:D2F0 0200000A:1F90 01 00000000:00000000
   1: 0100000A:D2F2 0200000A:1F90 06 00000000:00000000
   2: 0100000A:D2F4 0200000A:1F91 01 00000000:00000000
   3: 0200000A:1F90 0100000A:D2F0 01 00000000:00000000
`;

  expect(openConnections(table, ["10.0.0.2:8080"])).toBe(1);
  expect(openConnections(table, ["10.0.0.3:8080", "not an address", "[::1]:8080"])).toBe(0);
});
