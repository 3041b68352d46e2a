import { z } from "zod";
import { Name, PodId } from "./ids.ts";
import { CpuQuantity, MemoryQuantity } from "./units.ts";

/*
 * The Kubernetes `v1` Pod that the worker writes and an agent runs: a strict subset, digests only,
 * so that what runs here runs on a Kubernetes cluster unchanged. A field that is not named here is
 * refused, never ignored.
 */

const ImageByDigest = z
  .string()
  .regex(/^[a-z0-9.:-]+(\/[a-z0-9._-]+)+@sha256:[0-9a-f]{64}$/, "must be an image named by digest");
const Port = z.int().min(1).max(65_535);
const HttpGet = z.strictObject({
  path: z.string().startsWith("/").max(1_024).default("/"),
  port: Port,
});

/** A probe as Kubernetes means it: seconds, and counts of answers in a row. */
export const Probe = z.strictObject({
  httpGet: HttpGet,
  periodSeconds: z.int().min(1).max(3_600).default(10),
  timeoutSeconds: z.int().min(1).max(3_600).default(1),
  failureThreshold: z.int().min(1).max(10_000).default(3),
  successThreshold: z.int().min(1).max(100).default(1),
});
export type Probe = z.infer<typeof Probe>;

export const Container = z.strictObject({
  name: Name,
  image: ImageByDigest,
  command: z.array(z.string()).optional(),
  args: z.array(z.string()).optional(),
  env: z.array(z.strictObject({ name: z.string().min(1), value: z.string() })).default([]),
  ports: z.array(z.strictObject({ name: z.string().optional(), containerPort: Port })).default([]),
  resources: z.strictObject({
    requests: z.strictObject({ cpu: CpuQuantity, memory: MemoryQuantity }),
    limits: z.strictObject({ cpu: CpuQuantity.optional(), memory: MemoryQuantity }),
  }),
  startupProbe: Probe.optional(),
  readinessProbe: Probe.optional(),
  securityContext: z
    .strictObject({
      runAsUser: z.int().min(0).max(4_294_967_294).optional(),
      runAsGroup: z.int().min(0).max(4_294_967_294).optional(),
      runAsNonRoot: z.boolean().optional(),
      readOnlyRootFilesystem: z.boolean().optional(),
      allowPrivilegeEscalation: z.literal(false).default(false),
      capabilities: z.strictObject({ drop: z.array(z.string()) }).optional(),
    })
    .default({ allowPrivilegeEscalation: false }),
  volumeMounts: z
    .array(
      z.strictObject({
        name: Name,
        mountPath: z.string().startsWith("/"),
        readOnly: z.boolean().optional(),
      }),
    )
    .default([]),
});
export type Container = z.infer<typeof Container>;

/** Only memory-backed scratch space for now: a tmpfs of `sizeLimit` bytes that ends with the pod. */
export const Volume = z.strictObject({
  name: Name,
  emptyDir: z.strictObject({ medium: z.literal("Memory"), sizeLimit: MemoryQuantity }),
});
export type Volume = z.infer<typeof Volume>;

const PodSpec = z.strictObject({
  containers: z.array(Container).length(1, "one container a pod, more are not supported yet"),
  volumes: z.array(Volume).default([]),
  restartPolicy: z.literal("Always").default("Always"),
  terminationGracePeriodSeconds: z.int().min(0).max(3_600).default(30),
  hostname: Name.optional(),
});

/** `metadata.uid` is the pod's id everywhere; `metadata.name` is what people read. */
export const Pod = z.strictObject({
  apiVersion: z.literal("v1"),
  kind: z.literal("Pod"),
  metadata: z.strictObject({
    name: z.string().regex(/^[a-z][-a-z0-9]{0,61}[a-z0-9]$/),
    uid: PodId,
    labels: z.record(z.string(), z.string()).default({}),
    annotations: z.record(z.string(), z.string()).default({}),
  }),
  spec: PodSpec,
});
export type Pod = z.infer<typeof Pod>;

/** Labels that Waybill puts on every pod. */
export const POD_LABELS = {
  app: "waybill.dev/app",
  project: "waybill.dev/project",
  release: "waybill.dev/release",
} as const;

/**
 * What the fingerprint of a pod is taken of: everything that a running pod cannot change without a
 * restart, in a text that does not depend on the order of keys. Labels and annotations are not part
 * of it, so a change of those restarts nothing.
 */
export function fingerprintText(pod: Pod): string {
  return canonicalJson(pod.spec);
}

/** JSON with sorted keys and no undefined members: equal values give equal texts. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    inner !== null && typeof inner === "object" && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
