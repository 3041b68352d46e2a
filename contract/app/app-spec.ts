import { z } from "zod";
import { bytes, CpuQuantity, Duration, durationMs, MemoryQuantity } from "../document/units.ts";
import { Digest, Name } from "../ids.ts";
import { ImageReference } from "../image-reference.ts";
import { HOSTNAME_LABEL, LabelKey, Labels, PodDocument, PodSpec } from "../pod/pod.ts";
import { Port } from "../pod/probe.ts";

/** The smallest memory a Tomcat starts and answers in: JVM without heap about 140 MiB, and a small heap. */
const MIN_TOMCAT_MEMORY = "256Mi";

/** A release that gets nowhere has to end within a time that somebody still asks about it. */
const MAX_PROGRESS_DEADLINE_MS = 24 * 3_600_000;

/** The path below which a WAR answers: "/" or "/shop" or "/shop/v2". */
export const ContextPath = z
  .string()
  .max(200)
  .regex(
    /^\/$|^(\/[A-Za-z0-9_-][A-Za-z0-9._-]*)+$/,
    'must be "/" or a path such as "/shop", of letters, digits, ".", "_" and "-"',
  );

const War = z.strictObject({
  artifact: Digest,
  contextPath: ContextPath.default("/"),
  /** Only `image` is built so far, and what is stored says so: a later default changes no app. */
  packaging: z
    .literal("image", 'not supported yet: "image" is the packaging that is built')
    .default("image"),
});

const Tomcat = z.strictObject({
  version: z.literal("10.1", '"10.1" is the Tomcat that there is').default("10.1"),
  options: z
    .array(
      z
        .string()
        .min(1)
        .max(1_000)
        .regex(/^-[^\0\n\r]+$/, "must be one JVM option, such as -Dfoo=bar"),
    )
    .max(100)
    .default([]),
});

const Health = z.strictObject({
  path: z
    .string()
    .max(1_000)
    .regex(/^\/[\x21-\x7e]*$/, "must be a path that starts with /")
    .default("/"),
});

const EnvName = z
  .string()
  .regex(
    /^[A-Za-z_][A-Za-z0-9_]{0,254}$/,
    "must be letters, digits and _, not starting with a digit",
  );
const EnvValue = z
  .string()
  .max(32_768)
  .regex(/^[^\0]*$/, "must not hold a NUL character");

const Rollout = z
  .strictObject({
    maxSurge: z.int().min(1).max(10).default(1),
    progressDeadline: Duration.refine(
      (text) => (durationMs(text) ?? 0) <= MAX_PROGRESS_DEADLINE_MS,
      "must be at most 24h",
    ).default("300s"),
    /** Where it is false, the pods of a release that fails stay for people to look into, until the next one. */
    autoRevert: z.boolean().default(true),
  })
  .prefault({});

/** Where its pods may run. It is no part of the Pod, so that a change moves only what must not stay: decision 0026. */
const Placement = z
  .strictObject({
    /** Labels that a node has to have, beside those that the pod itself asks for. */
    nodeSelector: Labels.default({}),
    /** The label of nodes over whose values its pods are spread as evenly as there is room. */
    spreadBy: LabelKey.default(HOSTNAME_LABEL),
  })
  .prefault({});
type Placement = z.infer<typeof Placement>;

export const EVERY_APP = {
  name: Name,
  replicas: z.int().min(0).max(100).default(1),
  /** Never two of its pods at once, also where a node is not heard of: parseAppSpec asks for one replica. */
  singleton: z.boolean().default(false),
  placement: Placement,
  rollout: Rollout,
};
const Environment = z.record(EnvName, EnvValue).default({});

export const WarAppSpec = z.strictObject({
  ...EVERY_APP,
  war: War,
  tomcat: Tomcat.prefault({}),
  resources: z
    .strictObject({ cpu: CpuQuantity.default("500m"), memory: MemoryQuantity.default("512Mi") })
    .prefault({})
    .refine((it) => (bytes(it.memory) ?? Infinity) >= (bytes(MIN_TOMCAT_MEMORY) ?? 0), {
      path: ["memory"],
      message: `a Tomcat needs at least ${MIN_TOMCAT_MEMORY}`,
    }),
  env: Environment,
  http: z
    .strictObject({
      port: z.literal(8080, "not supported yet: a Tomcat listens on 8080").default(8080),
      health: Health.optional(),
    })
    .prefault({}),
});
export type WarAppSpec = z.infer<typeof WarAppSpec>;

/** Without `http.port`, requests go to the lowest TCP port that the image exposes, if it does. */
export const ImageAppSpec = z.strictObject({
  ...EVERY_APP,
  image: ImageReference,
  resources: z
    .strictObject({ cpu: CpuQuantity.default("500m"), memory: MemoryQuantity.default("512Mi") })
    .prefault({}),
  env: Environment,
  http: z.strictObject({ port: Port.optional(), health: Health.optional() }).prefault({}),
});
export type ImageAppSpec = z.infer<typeof ImageAppSpec>;

/**
 * Without `http.port`, requests go to the first TCP port that a container of the pod names, else to
 * the lowest that the image of one exposes. Health is what the pod's own probes say.
 */
export const PodAppSpec = z.strictObject({
  ...EVERY_APP,
  pod: PodDocument,
  http: z.strictObject({ port: Port.optional() }).prefault({}),
});
export type PodAppSpec = z.infer<typeof PodAppSpec>;

/**
 * What the user asked for, every default filled in: nothing downstream re-reads defaults. The
 * document of design.md section 5, as far as it is built; what is not is refused by name. Exactly
 * one source: `war`, `image` or `pod`.
 */
export const AppSpec = z.union([WarAppSpec, ImageAppSpec, PodAppSpec]);
export type AppSpec = z.infer<typeof AppSpec>;

/** What a stored spec says of where its pods run; one from before that could be said says nothing. */
export function placementOf({ placement }: Partial<Pick<AppSpec, "placement">>): Placement {
  return placement ?? Placement.parse(undefined);
}

/**
 * What a body may be, for the description of the api: a spec, whose pod may also be the bare PodSpec,
 * or a whole Pod document. `parseAppSpec` makes one form of them.
 */
export const AppDocument = z.union([
  WarAppSpec,
  ImageAppSpec,
  PodAppSpec.extend({ pod: z.union([PodDocument, PodSpec]) }),
  PodDocument,
]);
