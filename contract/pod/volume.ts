import { z } from "zod";
import { MemoryQuantity } from "../document/units.ts";
import { ConfigKey, DnsLabel, ObjectName } from "../ids.ts";

const Mode = z.int().min(0).max(0o777);

/** Which keys become which files; without `items` every key is a file of its own name. */
const FILES = {
  items: z
    .array(
      z.strictObject({
        key: ConfigKey,
        path: z.string().min(1).max(1_024),
        mode: Mode.optional(),
      }),
    )
    .max(1_000)
    .optional(),
  defaultMode: Mode.default(0o644),
  optional: z.boolean().default(false),
};

/** Scratch space that ends with the pod: on disk, or a tmpfs with `medium: Memory`. */
export const EmptyDir = z.strictObject({
  medium: z.enum(["", "Memory"]).default(""),
  sizeLimit: MemoryQuantity.optional(),
});

/** A path of the node, where the operator's policy allows it. */
export const HostPath = z.strictObject({
  path: z
    .string()
    .max(4_096)
    .regex(/^\/[^\0]*$/, "must be an absolute path"),
  type: z
    .enum(["", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket"])
    .default(""),
});

/** A volume of a pod. Exactly one source: see pod-rules.ts. `image` is what its reader takes for one. */
export function volumeSchema<Image extends z.ZodType<string>>(image: Image) {
  return z.strictObject({
    name: DnsLabel,
    emptyDir: EmptyDir.optional(),
    hostPath: HostPath.optional(),
    secret: z.strictObject({ secretName: ObjectName, ...FILES }).optional(),
    configMap: z.strictObject({ name: ObjectName, ...FILES }).optional(),
    /** An image or another artifact of a registry, read-only. */
    image: z.strictObject({ reference: image }).optional(),
    /** A named volume of the project: it outlives pods, releases and agents. */
    persistentVolumeClaim: z
      .strictObject({ claimName: DnsLabel, readOnly: z.boolean().default(false) })
      .optional(),
  });
}
