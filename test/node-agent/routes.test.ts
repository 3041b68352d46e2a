import { expect, test } from "vitest";
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

test("the whole of Caddy's configuration is this", () => {
  const plan = {
    adminSocket: "/run/w/caddy.sock",
    httpPort: 8080,
    routes: [
      anApp({ upstreams: ["10.0.0.2:8080", "10.0.0.3:8080"] }),
      anApp({ app: "cold", hosts: ["cold.localhost"] }),
    ],
    peers: [],
  };

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
              "listen": [
                ":8080",
              ],
              "routes": [
                {
                  "handle": [
                    {
                      "handler": "reverse_proxy",
                      "headers": {
                        "request": {
                          "set": {
                            "X-Forwarded-Port": [
                              "{http.request.port}",
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
                        "content-type": [
                          "text/plain; charset=utf-8",
                        ],
                        "retry-after": [
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
                        "content-type": [
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
