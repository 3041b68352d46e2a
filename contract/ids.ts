import { z } from "zod";

/** A name that people give: of an app, a project, a node, a secret. Safe as a DNS label and as a path segment. */
export const Name = z
  .string()
  .regex(
    /^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$/,
    "must be 1 to 40 characters: a lower-case letter first, then lower-case letters, digits or dashes, and no dash at the end",
  );
export type Name = z.infer<typeof Name>;

/** The name of a container, a volume, a host or a runtime handler. Source: Kubernetes' DNS label. */
export const DnsLabel = z
  .string()
  .max(63)
  .regex(
    /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/,
    "must be lower-case letters, digits and dashes, beginning and ending with a letter or digit",
  );

/** A Secret's or a ConfigMap's name. Source: Kubernetes' DNS subdomain; a version is put behind a last dot. */
export const ObjectName = z
  .string()
  .max(253)
  .regex(
    /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/,
    "must be lower-case letters, digits, dashes and dots, beginning and ending with a letter or digit",
  );

/** A key of a Secret or a ConfigMap, which is also a safe file name. Source: Kubernetes' IsConfigMapKey. */
export const ConfigKey = z
  .string()
  .max(253)
  .regex(/^(?!\.\.?$)(?!\.\.)[-._a-zA-Z0-9]+$/, "must be letters, digits, -, _ and .");

/** The SHA-256 of some bytes, as the registry spells it. */
export const Digest = z
  .string()
  .regex(/^sha256:[0-9a-f]{64}$/, "must be sha256: and 64 lower-case hex digits")
  .brand<"Digest">();
export type Digest = z.infer<typeof Digest>;

export const AppId = z.uuid().brand<"AppId">();
export type AppId = z.infer<typeof AppId>;
export const ReleaseId = z.uuid().brand<"ReleaseId">();
export type ReleaseId = z.infer<typeof ReleaseId>;
export const PodId = z.uuid().brand<"PodId">();
export type PodId = z.infer<typeof PodId>;
export const NodeId = z.uuid().brand<"NodeId">();
export type NodeId = z.infer<typeof NodeId>;
export const ProjectId = z.uuid().brand<"ProjectId">();
export type ProjectId = z.infer<typeof ProjectId>;
