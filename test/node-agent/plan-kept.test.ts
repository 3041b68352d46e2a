import { randomUUID } from "node:crypto";
import { expect, test } from "vitest";
import { PodId } from "../../contract/ids.ts";
import { DesiredState, Route } from "../../contract/node/protocol.ts";
import { accept } from "../../node-agent/plan/accept.ts";
import { A_DIGEST, aPod } from "../support/pods.ts";

const node = randomUUID();
const [known, unknown, dropped, elsewhere] = Array.from({ length: 4 }, () =>
  PodId.parse(randomUUID()),
) as [PodId, PodId, PodId, PodId];

const wish = (generation: number, pods: readonly PodId[], more: object = {}) =>
  DesiredState.parse({
    ...{ node, generation, routes: [], ...more },
    pods: pods.map((uid) => aPod({ uid, name: `web-${uid.slice(0, 4)}` })),
  });

const route = (more: object) =>
  Route.parse({ app: "web", hosts: ["web.localhost"], port: 80, pods: [], ...more });

const told = (now: DesiredState, before: DesiredState) =>
  accept(now, before, now.node).keep as DesiredState;

test("a wish that keeps pods has those that it names, what they name, and no others of before", () => {
  const secret = (name: string, project = "default") => ({ project, name, sealed: "" });
  const map = (name: string) => ({ project: "default", name, data: {}, binary: {} });
  const naming = (uid: PodId, name: string) =>
    aPod({
      uid,
      labels: { "waybill.dev/project": "default" },
      spec: {
        volumes: [
          { name: "secret", secret: { secretName: `${name}.v1` } },
          { name: "map", configMap: { name: `${name}-map.v1` } },
        ],
      },
    });
  const before: DesiredState = {
    ...wish(4, [], {
      secrets: [
        ...[secret("old.v1"), secret("dropped.v1"), secret("both.v1")],
        secret("old.v1", "another"),
      ],
      configMaps: [map("old-map.v1"), map("dropped-map.v1")],
    }),
    pods: [naming(unknown, "old"), naming(dropped, "dropped")],
  };
  const now = wish(9, [known], { keepPods: [unknown], secrets: [secret("both.v1")] });

  const held = told(now, before);

  expect(held).toMatchObject({
    generation: 9,
    keepImages: [`waybill.internal/apps/web@${A_DIGEST}`],
  });
  expect(held.pods.map((it) => it.metadata.uid)).toEqual([known, unknown]);
  expect(held.secrets).toEqual([secret("old.v1"), secret("both.v1")]);
  expect(held.configMaps.map((it) => it.name)).toEqual(["old-map.v1"]);
  expect(told(wish(10, [known]), held).pods).toHaveLength(1);
});

test("a pod that is kept is reached as before, but by no port or name that now is another's", () => {
  const remote = [{ pod: elsewhere, address: "10.9.0.2", port: 31_005 }];
  const before = wish(4, [unknown, dropped], {
    routes: [
      route({
        pods: [unknown, dropped],
        nodePorts: { [unknown]: 31_000, [dropped]: 31_002 },
        remote,
      }),
      route({ app: "blog", hosts: ["blog.localhost", "www.localhost"], remote }),
      route({ app: "over", hosts: ["over.localhost"], pods: [dropped] }),
    ],
  });
  const routes = [
    route({ pods: [known], nodePorts: { [known]: 31_001 } }),
    route({ app: "shop", hosts: ["www.localhost"], nodePorts: { [elsewhere]: 31_000 } }),
  ];

  const held = told(wish(9, [known], { keepPods: [unknown], routes }), before);

  expect(held.routes).toEqual([
    route({ pods: [known, unknown], nodePorts: { [known]: 31_001 }, remote }),
    routes[1],
    route({ app: "blog", hosts: ["blog.localhost"], remote }),
  ]);
});

test("behind another port is another program: what is kept of it gets no requests", () => {
  const before = wish(4, [unknown], { routes: [route({ pods: [unknown] })] });
  const routes = [route({ pods: [known], port: 90 })];

  expect(told(wish(9, [known], { keepPods: [unknown], routes }), before).routes).toEqual(routes);
});
