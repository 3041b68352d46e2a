import { expect, test } from "vitest";
import type { Pod } from "../../contract/pod/pod.ts";
import { type EnvSources, expand, speak } from "../../node-agent/act/env-vars.ts";
import { StartError } from "../../node-agent/act/start-error.ts";
import { aPod } from "../support/pods.ts";

/** What the first container of this pod is told. */
function spoken(pod: Pod, said: Partial<EnvSources> = {}) {
  const [container] = pod.spec.containers;
  if (!container) throw new Error("a pod without a container");
  const bytes = (text: string) => Buffer.from(text);
  return speak(container, {
    pod,
    values: {
      configMaps: new Map([["settings.v2", new Map([["level", bytes("debug")]])]]),
      secrets: new Map([["db.v3", new Map([["password", bytes("$(HOME) s3cret")]])]]),
    },
    nodeName: "node-a",
    hostIp: "192.0.2.1",
    podIp: "10.0.0.7",
    ...said,
  });
}

test.each([
  ["plain", "plain"],
  ["$(A)", "1"],
  ["$(A)$(B)", "12"],
  ["$$(A)", "$(A)"],
  ["$$$(A)", "$1"],
  ["$(MISSING)", "$(MISSING)"],
  ["$(A", "$(A"],
  ["$A $A$ $", "$A $A$ $"],
  ["$()", "$()"],
  ["100%$$", "100%$"],
])("%j becomes %j, as Kubernetes expands it", (text, expanded) => {
  const env = new Map([
    ["A", "1"],
    ["B", "2"],
  ]);

  expect(expand(text, env)).toBe(expanded);
});

test("a variable may use those before it, a command all of them, and the last of two wins", () => {
  const pod = aPod({
    container: {
      command: ["/bin/$(KIND)"],
      args: ["--url=$(URL)", "$$(URL)"],
      env: [
        { name: "URL", value: "http://$(HOST)" },
        { name: "HOST", value: "db" },
        { name: "KIND", value: "old" },
        { name: "URL", value: "http://$(HOST):1" },
        { name: "KIND", value: "new" },
        { name: "EMPTY" },
      ],
    },
  });

  expect(spoken(pod)).toEqual({
    env: [
      { name: "URL", value: "http://db:1" },
      { name: "HOST", value: "db" },
      { name: "KIND", value: "new" },
      { name: "EMPTY", value: "" },
    ],
    command: ["/bin/new"],
    args: ["--url=http://db:1", "$(URL)"],
  });
});

test("values come from secrets, config maps and the pod itself, and are taken as they are", () => {
  const field = (name: string, fieldPath: string) => ({
    name,
    valueFrom: { fieldRef: { fieldPath } },
  });
  const pod = aPod({
    labels: { tier: "front" },
    container: {
      env: [
        { name: "PASSWORD", valueFrom: { secretKeyRef: { name: "db.v3", key: "password" } } },
        { name: "LEVEL", valueFrom: { configMapKeyRef: { name: "settings.v2", key: "level" } } },
        {
          name: "NONE",
          valueFrom: { secretKeyRef: { name: "none.v1", key: "x", optional: true } },
        },
        { name: "DSN", value: "db:$(PASSWORD)" },
        field("NAME", "metadata.name"),
        field("SPACE", "metadata.namespace"),
        field("TIER", "metadata.labels['tier']"),
        field("OTHER", "metadata.labels['other']"),
        field("NODE", "spec.nodeName"),
        field("IP", "status.podIP"),
        field("HOST_IP", "status.hostIP"),
      ],
    },
  });

  expect(Object.fromEntries(spoken(pod).env.map((it) => [it.name, it.value]))).toEqual({
    PASSWORD: "$(HOME) s3cret",
    LEVEL: "debug",
    DSN: "db:$(HOME) s3cret",
    NAME: "web-1",
    SPACE: "default",
    TIER: "front",
    OTHER: "",
    NODE: "node-a",
    IP: "10.0.0.7",
    HOST_IP: "192.0.2.1",
  });
});

test.each([
  [{ secretKeyRef: { name: "none.v1", key: "x" } }, 'the secret "none.v1" is not on this node'],
  [{ secretKeyRef: { name: "db.v3", key: "user" } }, 'the secret "db.v3" has no key "user"'],
  [{ configMapKeyRef: { name: "none.v1", key: "x" } }, 'the config map "none.v1" is not on'],
  [{ fieldRef: { fieldPath: "spec.nodeName" } }, "spec.nodeName is not known"],
])("what %j lacks is named, and the container does not start", (valueFrom, words) => {
  const pod = aPod({ container: { env: [{ name: "A", valueFrom }] } });
  const speaking = () => spoken(pod, { nodeName: undefined });

  expect(speaking).toThrow(StartError);
  expect(speaking).toThrow(words);
});
