import { z } from "zod";
import {
  bytes,
  CpuQuantity,
  CpuRequest,
  MemoryQuantity,
  MemoryRequest,
} from "../document/units.ts";
import { ConfigKey, DnsLabel, ObjectName } from "../ids.ts";
import { Lifecycle, Port, PortName, Probe } from "./probe.ts";

/** What a container gets that names nothing: enough for small tools, and never without a bound. */
export const DEFAULT_CPU = "100m";
export const DEFAULT_MEMORY = "256Mi";

const Text = z
  .string()
  .max(131_072)
  .regex(/^[^\0]*$/, "must not hold a NUL character");
const EnvName = z
  .string()
  .max(255)
  .regex(/^[-._a-zA-Z][-._a-zA-Z0-9]*$/, "must be letters, digits, -, _ and ., and no digit first");

/** What a container may learn about its own pod. */
export const FieldPath = z
  .string()
  .regex(
    /^(metadata\.(name|namespace|uid)|metadata\.(labels|annotations)\['[^'\0]{1,317}'\]|spec\.nodeName|status\.(podIP|podIPs|hostIP|hostIPs))$/,
    "must be one of metadata.name, metadata.namespace, metadata.uid, metadata.labels['…'], metadata.annotations['…'], spec.nodeName, status.podIP, status.hostIP",
  );

const KeyReference = z.strictObject({
  name: ObjectName,
  key: ConfigKey,
  optional: z.boolean().default(false),
});

/** Exactly one of its members: see pod-rules.ts. */
export const EnvSource = z.strictObject({
  secretKeyRef: KeyReference.optional(),
  configMapKeyRef: KeyReference.optional(),
  fieldRef: z
    .strictObject({ apiVersion: z.literal("v1").optional(), fieldPath: FieldPath })
    .optional(),
});
export type EnvSource = z.infer<typeof EnvSource>;

/** A value, or where it comes from, and never both: see pod-rules.ts. */
const EnvVar = z.strictObject({
  name: EnvName,
  value: Text.optional(),
  valueFrom: EnvSource.optional(),
});
export type EnvVar = z.infer<typeof EnvVar>;

const ContainerPort = z.strictObject({
  name: PortName.optional(),
  containerPort: Port,
  hostPort: Port.optional(),
  protocol: z.enum(["TCP", "UDP"]).default("TCP"),
});
export type ContainerPort = z.infer<typeof ContainerPort>;

const Uid = z.int().min(0).max(4_294_967_294);
const Seccomp = z.strictObject({ type: z.literal("RuntimeDefault") });

/** Settings of a pod that its containers take over unless they say otherwise. */
export const PodSecurityContext = z.strictObject({
  runAsUser: Uid.optional(),
  runAsGroup: Uid.optional(),
  runAsNonRoot: z.boolean().optional(),
  fsGroup: Uid.optional(),
  supplementalGroups: z.array(Uid).max(32).optional(),
  seccompProfile: Seccomp.optional(),
});

const Capability = z
  .string()
  .regex(/^(ALL|[A-Z][A-Z_]{2,40})$/, 'must be a capability such as "NET_RAW"');

const SecurityContext = z.strictObject({
  runAsUser: Uid.optional(),
  runAsGroup: Uid.optional(),
  runAsNonRoot: z.boolean().optional(),
  readOnlyRootFilesystem: z.boolean().optional(),
  allowPrivilegeEscalation: z
    .literal(false, "no container here gains more rights than it starts with")
    .default(false),
  privileged: z.literal(false, "no container here is privileged").optional(),
  seccompProfile: Seccomp.optional(),
  capabilities: z
    .strictObject({
      drop: z.array(Capability).max(64).default([]),
      add: z
        .array(z.literal("NET_BIND_SERVICE", "only NET_BIND_SERVICE may be added"))
        .max(1)
        .optional(),
    })
    .optional(),
});

/** Below the places that the runtime itself mounts: see pod-rules.ts for what it may not be. */
const VolumeMount = z.strictObject({
  name: DnsLabel,
  mountPath: z
    .string()
    .max(4_096)
    .regex(/^\/[^\0:]*$/, "must be an absolute path without a colon"),
  readOnly: z.boolean().optional(),
  subPath: z.string().min(1).max(4_096).optional(),
});
export type VolumeMount = z.infer<typeof VolumeMount>;

/**
 * Requests and limits with every default filled in: a request that is not named is the limit's, a
 * limit of memory that is not named is the request's, and no container is without one.
 */
const Resources = z
  .strictObject({
    requests: z
      .strictObject({ cpu: CpuRequest.optional(), memory: MemoryRequest.optional() })
      .default({}),
    limits: z
      .strictObject({ cpu: CpuQuantity.optional(), memory: MemoryQuantity.optional() })
      .default({}),
  })
  .prefault({})
  .transform(({ requests, limits }) => {
    const asked = bytes(requests.memory ?? "0") === 0 ? undefined : requests.memory;
    const memory = limits.memory ?? asked ?? DEFAULT_MEMORY;
    return {
      requests: {
        cpu: requests.cpu ?? limits.cpu ?? DEFAULT_CPU,
        memory: requests.memory ?? memory,
      },
      limits: { memory, ...(limits.cpu !== undefined && { cpu: limits.cpu }) },
    };
  });

/** A container as a pod lists it; `image` is what the reader of the pod takes for one. */
export function containerSchema<Image extends z.ZodType<string>>(image: Image) {
  return z.strictObject({
    name: DnsLabel,
    image,
    command: z.array(Text).max(1_000).optional(),
    args: z.array(Text).max(1_000).optional(),
    workingDir: z
      .string()
      .max(4_096)
      .regex(/^\/[^\0]*$/, "must be an absolute path")
      .optional(),
    env: z.array(EnvVar).max(1_000).default([]),
    ports: z.array(ContainerPort).max(100).default([]),
    resources: Resources,
    startupProbe: Probe.optional(),
    readinessProbe: Probe.optional(),
    livenessProbe: Probe.optional(),
    lifecycle: Lifecycle.optional(),
    securityContext: SecurityContext.prefault({}),
    volumeMounts: z.array(VolumeMount).max(200).default([]),
  });
}

/** An init container; with `restartPolicy: Always` it is a sidecar, and goes on beside the others. */
export function initContainerSchema<Image extends z.ZodType<string>>(image: Image) {
  return containerSchema(image).extend({
    restartPolicy: z.literal("Always", 'only "Always", which makes it a sidecar').optional(),
  });
}
