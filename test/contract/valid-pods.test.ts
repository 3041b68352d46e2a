import fc from "fast-check";
import { expect, test } from "vitest";
import { parseAppSpec } from "../../contract/app/parse-app-spec.ts";
import { canonicalJson } from "../../contract/pod/pod.ts";

/** Pods as people may write them, each field there or not, every value a right one. */
const maybe = <T extends Record<string, fc.Arbitrary<unknown>>>(fields: T) =>
  fc.record(fields, { requiredKeys: [] });
const port = fc.integer({ min: 1, max: 65_535 });
const quantity = fc.oneof(
  fc.constantFrom("1", "500m", "0.5G", "1.5Gi", "129e6", "1E3", ".5", "5.", "100u", "8Ei"),
  fc.integer({ min: 1, max: 2 ** 40 }),
  fc.double({ min: 0.001, max: 1e6, noNaN: true }),
);
const probe = fc
  .tuple(
    maybe({
      periodSeconds: fc.integer({ min: 1, max: 60 }),
      failureThreshold: fc.integer({ min: 1, max: 60 }),
    }),
    fc.oneof(
      fc.record({ httpGet: fc.record({ port }) }),
      fc.record({ tcpSocket: fc.record({ port: fc.constant("http") }) }),
      fc.record({
        exec: fc.record({ command: fc.array(fc.string(), { minLength: 1, maxLength: 3 }) }),
      }),
    ),
  )
  .map(([timing, action]) => ({ ...timing, ...action }));
const env = fc.oneof(
  fc.record({ name: fc.constantFrom("A", "b.c", "_D"), value: fc.constantFrom("", "x", "$(A)") }),
  fc.record({
    name: fc.constant("S"),
    valueFrom: fc.record({ secretKeyRef: fc.constant({ name: "s", key: "k", optional: true }) }),
  }),
);
const containerFields = {
  command: fc.array(fc.constantFrom("sh", "-c", "true")),
  env: fc.array(env, { maxLength: 3 }),
  resources: maybe({
    requests: maybe({ cpu: quantity }),
    limits: maybe({ memory: quantity }),
  }),
  readinessProbe: probe,
  securityContext: maybe({
    runAsUser: fc.nat(),
    readOnlyRootFilesystem: fc.boolean(),
    capabilities: fc.constantFrom({ drop: ["ALL"] }, { add: ["NET_BIND_SERVICE"] }, {}),
  }),
  volumeMounts: fc.constantFrom(
    [],
    [{ name: "v", mountPath: "/v/" }],
    [{ name: "v", mountPath: "/v", subPath: "a/b" }],
  ),
};
const volume = fc.constantFrom(
  { emptyDir: {} },
  { emptyDir: { medium: "Memory", sizeLimit: 1024 } },
  { hostPath: { path: "/data" } },
  { secret: { secretName: "s" } },
  { configMap: { name: "c", items: [{ key: "k", path: "a/b" }], defaultMode: 0o400 } },
  { image: { reference: "ghcr.io/a/b:1" } },
  { persistentVolumeClaim: { claimName: "c" } },
);
const pod = fc
  .tuple(
    maybe(containerFields),
    fc.option(maybe(containerFields)),
    volume,
    maybe({
      restartPolicy: fc.constantFrom("Always", "OnFailure", "Never"),
      terminationGracePeriodSeconds: fc.nat(3_600),
      hostname: fc.constant("h"),
      runtimeClassName: fc.constant("kata"),
      nodeSelector: fc.constantFrom({}, { disk: "ssd" }),
      securityContext: maybe({ fsGroup: fc.nat(), runAsNonRoot: fc.boolean() }),
    }),
  )
  .map(([main, sidecar, source, rest]) => ({
    ...rest,
    containers: [
      { name: "web", image: "nginx:1", ports: [{ name: "http", containerPort: 80 }], ...main },
    ],
    initContainers: sidecar
      ? [
          {
            ...sidecar,
            name: "s",
            image: "a",
            restartPolicy: "Always",
            ports: [{ name: "http", containerPort: 81 }],
          },
        ]
      : [],
    volumes: [{ name: "v", ...source }],
  }));

test("a right pod is taken, and what is stored reads back as itself, whichever way it is sent", () => {
  fc.assert(
    fc.property(pod, (spec) => {
      const bare = parseAppSpec({ name: "shop", pod: spec });
      const whole = parseAppSpec({
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: "shop" },
        spec,
      });
      expect(bare.ok ? [] : bare.errors).toEqual([]);
      expect(whole.ok).toBe(true);
      if (!bare.ok || !whole.ok) return;
      const stored = canonicalJson(bare.value);
      const again = parseAppSpec(JSON.parse(stored));

      expect(canonicalJson(whole.value)).toBe(stored);
      expect(again.ok && canonicalJson(again.value)).toBe(stored);
    }),
    { numRuns: 200 },
  );
}, 60_000);
