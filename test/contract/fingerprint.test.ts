import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { DesiredState } from "../../contract/node/protocol.ts";
import { fingerprintText, Pod } from "../../contract/pod/pod.ts";
import { fingerprint } from "../../node-agent/plan/fingerprint.ts";
import { aPod } from "../support/pods.ts";

const changed = (container: object) => fingerprintText(aPod({ container }));

test("a pod of the first version keeps its fingerprint, so an upgrade restarts nothing", async () => {
  const ledger = await readFile(new URL("../golden/first-ledger.json", import.meta.url), "utf8");

  const { pods } = DesiredState.parse(JSON.parse(ledger));

  expect(pods.map(fingerprint)).toEqual(["4a9d35f73ed6395d04af77e62aa25ec9"]);
});

test("labels, annotations and the order of keys are no part of it", () => {
  const pod = aPod();
  const { metadata, spec } = pod;
  const reordered = Object.fromEntries(Object.entries(spec).toReversed());

  const labelled = { ...metadata, labels: { team: "blue" }, annotations: { note: "x" } };

  expect(fingerprintText({ ...pod, metadata: labelled })).toBe(fingerprintText(pod));
  expect(fingerprintText(Pod.parse({ ...pod, spec: reordered }))).toBe(fingerprintText(pod));
});

test.each([
  ["an environment variable", { env: [{ name: "A", value: "b" }] }],
  ["an image", { image: `waybill.internal/apps/web@sha256:${"b".repeat(64)}` }],
  ["a protocol", { ports: [{ containerPort: 8080, protocol: "UDP" }] }],
  ["a delay", { readinessProbe: { httpGet: { port: 8080 }, initialDelaySeconds: 1 } }],
  ["a capability", { securityContext: { capabilities: { drop: ["ALL"] } } }],
])("%s is part of it", (_, container) => {
  expect(changed(container)).not.toBe(changed({}));
});

test("what a user calls like one of Waybill's own fields is the user's", () => {
  const selecting = (nodeSelector: object) => fingerprintText(aPod({ spec: { nodeSelector } }));

  expect(selecting({ protocol: "TCP" })).not.toBe(selecting({ disk: "ssd" }));
  expect(selecting({ disk: "ssd", protocol: "TCP" })).not.toBe(selecting({ disk: "ssd" }));
});
