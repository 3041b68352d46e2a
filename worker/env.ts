import { z } from "zod";
import { Duration, durationMs } from "../contract/document/units.ts";
import { parseAllowed } from "./egress/policy.ts";

/** What the worker process is told by its surroundings. */
export const WorkerEnv = z.object({
  DATABASE_URL: z.url(),
  REDIS_URL: z.url(),
  REGISTRY_URL: z.url(),
  /** Scratch space for archives and layers on their way; what dead workers left there is removed. */
  WAYBILL_WORK_DIR: z.string().startsWith("/", "must be an absolute path"),
  /** For how long a node is silent before what it ran is started elsewhere. */
  WAYBILL_REPLACE_AFTER: Duration.default("5m").transform((text) => durationMs(text) ?? 0),
  WAYBILL_QUEUE_PREFIX: z.string().min(1).default("waybill"),
  /** Where the api listens: an image named by that address is one of Waybill's own registry. */
  WAYBILL_API_HOST: z.string().min(1).default("127.0.0.1"),
  WAYBILL_API_PORT: z.coerce.number().int().min(0).max(65_535).default(7070),
  /** Registries that images may come from though their addresses are not public: hosts and CIDRs. */
  WAYBILL_REGISTRIES_ALLOWED: z
    .string()
    .default("")
    .transform(parseAllowed)
    .refine((policy) => policy !== undefined, "must be hosts and CIDRs, separated by commas"),
  /** How apt reaches Debian's packages; images are never fetched through a proxy. */
  http_proxy: z.string().optional(),
  https_proxy: z.string().optional(),
  no_proxy: z.string().optional(),
});
export type WorkerEnv = z.infer<typeof WorkerEnv>;
