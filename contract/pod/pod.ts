import { z } from "zod";
import { DnsLabel, Name, PodId } from "../ids.ts";
import { ImageReference } from "../image-reference.ts";
import { containerSchema, initContainerSchema, PodSecurityContext } from "./container.ts";
import { volumeSchema } from "./volume.ts";

/*
 * The Kubernetes `v1` Pod, a strict subset, in two forms of one shape: `PodDocument` is what people
 * write, with images by any name; `Pod` is what the worker makes of it and an agent runs, with images
 * by digest and secrets and config maps by version. A field that is not named is refused, never
 * ignored, and what one field asks of another is in pod-rules.ts.
 */

const ImageByDigest = z
  .string()
  .regex(/^[a-z0-9.:-]+(\/[a-z0-9._-]+)+@sha256:[0-9a-f]{64}$/, "must be an image named by digest");

/** Source: Kubernetes' label syntax. */
export const LabelKey = z
  .string()
  .max(317)
  .regex(
    /^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/,
    "must be a label's name",
  );
const LabelValue = z
  .string()
  .regex(/^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/, "must be a label's value");
export const Labels = z.record(LabelKey, LabelValue);
const Annotations = z.record(LabelKey, z.string().max(262_144));

/** The label that every node has, with its own name: by it each node is a place by itself. */
export const HOSTNAME_LABEL = "kubernetes.io/hostname";

const PodAffinityTerm = z.strictObject({
  labelSelector: z.strictObject({ matchLabels: Labels }),
  topologyKey: z.literal(HOSTNAME_LABEL, `only "${HOSTNAME_LABEL}" is known here`),
});
const PodAffinity = z.strictObject({
  requiredDuringSchedulingIgnoredDuringExecution: z.array(PodAffinityTerm).max(20),
});

function podSpecSchema<Image extends z.ZodType<string>>(image: Image) {
  return z.strictObject({
    containers: z.array(containerSchema(image)).min(1, "a pod has at least one container").max(32),
    initContainers: z.array(initContainerSchema(image)).max(32).default([]),
    volumes: z.array(volumeSchema(image)).max(100).default([]),
    restartPolicy: z.enum(["Always", "OnFailure", "Never"]).default("Always"),
    terminationGracePeriodSeconds: z.int().min(0).max(3_600).default(30),
    shareProcessNamespace: z.boolean().default(false),
    hostname: DnsLabel.optional(),
    securityContext: PodSecurityContext.prefault({}),
    /** Names a handler of the node's container runtime, such as "runsc" or "kata". */
    runtimeClassName: DnsLabel.optional(),
    nodeSelector: Labels.default({}),
    affinity: z
      .strictObject({
        podAffinity: PodAffinity.optional(),
        podAntiAffinity: PodAffinity.optional(),
      })
      .optional(),
  });
}

/** What people write below `spec`, every default filled in. */
export const PodSpec = podSpecSchema(ImageReference);
export type PodSpec = z.infer<typeof PodSpec>;

/** A whole `kind: Pod` document as people write it. */
export const PodDocument = z.strictObject({
  apiVersion: z.literal("v1"),
  kind: z.literal("Pod"),
  metadata: z.strictObject({
    name: Name,
    namespace: z.literal("default", "there are no namespaces here; leave it out").optional(),
    labels: Labels.default({}),
    annotations: Annotations.default({}),
  }),
  spec: PodSpec,
});
export type PodDocument = z.infer<typeof PodDocument>;

/**
 * What a node runs. `metadata.uid` is the pod's id everywhere; `metadata.name` is what people read.
 * Secrets and config maps are named with their version, as in "db-password.v3" (see material.ts).
 */
export const Pod = z.strictObject({
  apiVersion: z.literal("v1"),
  kind: z.literal("Pod"),
  metadata: z.strictObject({
    name: z.string().regex(/^[a-z][-a-z0-9]{0,61}[a-z0-9]$/),
    uid: PodId,
    labels: Labels.default({}),
    annotations: Annotations.default({}),
  }),
  spec: podSpecSchema(ImageByDigest),
});
export type Pod = z.infer<typeof Pod>;
export type Container = Pod["spec"]["containers"][number];
export type InitContainer = Pod["spec"]["initContainers"][number];
export type Volume = Pod["spec"]["volumes"][number];

/** Labels that Waybill puts on every pod. */
export const POD_LABELS = {
  app: "waybill.dev/app",
  project: "waybill.dev/project",
  release: "waybill.dev/release",
} as const;

/** An init container that goes on running beside the main ones. */
export function isSidecar(container: { readonly restartPolicy?: "Always" | undefined }): boolean {
  return container.restartPolicy === "Always";
}

/** Every container of a pod, init containers and sidecars first, in their order. */
export function allContainers<C extends object, I extends object>(spec: {
  readonly initContainers: readonly I[];
  readonly containers: readonly C[];
}): readonly (C | I)[] {
  return [...spec.initContainers, ...spec.containers];
}

/** Every image that a pod names: its containers' and its image volumes', each once. */
export function imagesOf(spec: Pod["spec"] | PodSpec): readonly string[] {
  const volumes = spec.volumes.flatMap((it) => it.image?.reference ?? []);
  return [...new Set([...allContainers(spec).map((it) => it.image), ...volumes])];
}

/**
 * What the fingerprint of a pod is taken of: everything that a running pod cannot change without a
 * restart, in a text that does not depend on the order of keys. Labels and annotations are not part
 * of it, so a change of those restarts nothing. Neither are fields that came after the first pods ran,
 * while they hold their default: an upgrade restarts nothing.
 */
export function fingerprintText(pod: Pod): string {
  return canonicalJson(withoutLaterDefaults(pod.spec, ""));
}

const PROBES = ["startupProbe", "readinessProbe", "livenessProbe"];
const HOOKS = ["lifecycle.postStart", "lifecycle.preStop"];

/**
 * Defaults of fields that came later, as JSON by path below a pod's spec, lists left out of it. A new
 * field with a default is added here; a field without one needs nothing.
 */
const LATER_DEFAULTS: ReadonlyMap<string, string> = new Map([
  ["initContainers", "[]"],
  ["nodeSelector", "{}"],
  ["securityContext", "{}"],
  ["shareProcessNamespace", "false"],
  ...["containers", "initContainers"].flatMap((list): [string, string][] => [
    [`${list}.ports.protocol`, '"TCP"'],
    ...PROBES.map((probe): [string, string] => [`${list}.${probe}.initialDelaySeconds`, "0"]),
    ...[...PROBES, ...HOOKS].map((asker): [string, string] => [
      `${list}.${asker}.httpGet.httpHeaders`,
      "[]",
    ]),
  ]),
]);

/** JSON with sorted keys and no undefined members: equal values give equal texts. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) => (isObject(inner) ? sorted(inner) : inner));
}

function withoutLaterDefaults(value: unknown, path: string): unknown {
  if (Array.isArray(value)) return value.map((it) => withoutLaterDefaults(it, path));
  if (!isObject(value)) return value;
  const members = Object.entries(value)
    .map(([key, it]) => [key, it, path === "" ? key : `${path}.${key}`] as const)
    .filter(([_, it, at]) => JSON.stringify(it) !== LATER_DEFAULTS.get(at))
    .map(([key, it, at]) => [key, withoutLaterDefaults(it, at)]);
  return Object.fromEntries(members);
}

function isObject(value: unknown): value is object {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

function sorted(value: object): object {
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}
