import { expect, test } from "vitest";
import { AppSpec } from "../../../../contract/app/app-spec.ts";
import { httpPortOf } from "../../../../worker/build/images/http-port.ts";

const exposed: Readonly<Record<string, readonly number[]>> = { web: [80, 443], api: [9000] };

function portOf(source: object): number | null {
  const spec = AppSpec.parse({ name: "shop", ...source });
  if ("war" in spec) return expect.fail("a WAR's port is its own");
  return httpPortOf(spec, (image) => exposed[image] ?? []);
}

const pod = (...containers: readonly object[]) => ({
  pod: {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "shop" },
    spec: {
      containers: containers.map((it, at) => ({ name: `c${at}`, image: "quiet", ...it })),
      initContainers: [{ name: "first", image: "api", ports: [{ containerPort: 1 }] }],
    },
  },
});
const ports = (...list: readonly (readonly [number, string])[]) => ({
  ports: list.map(([containerPort, protocol]) => ({ containerPort, protocol })),
});

test.each<[string, object, number | null]>([
  ["the port that the spec names", { image: "web", http: { port: 8081 } }, 8_081],
  ["the lowest that the image exposes", { image: "web" }, 80],
  ["none where there is none", { image: "quiet" }, null],
  ["the spec's before the pod's", { ...pod(ports([80, "TCP"])), http: { port: 1_234 } }, 1_234],
  ["the first TCP port in the containers' order", pod({}, ports([53, "UDP"], [81, "TCP"])), 81],
  ["a named port before an exposed one", pod({ image: "web" }, ports([81, "TCP"])), 81],
  [
    "what the first image that exposes one exposes",
    pod({}, { image: "api" }, { image: "web" }),
    9_000,
  ],
  ["none of an init container's", pod({}), null],
])("requests go to %s", (_, source, port) => {
  expect(portOf(source)).toBe(port);
});
