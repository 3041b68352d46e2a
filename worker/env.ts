import { z } from "zod";

/** What the worker process is told by its surroundings. */
export const WorkerEnv = z.object({
  DATABASE_URL: z.url(),
  REDIS_URL: z.url(),
  REGISTRY_URL: z.url(),
  /** Scratch space for archives and layers on their way; emptied at start. */
  WAYBILL_WORK_DIR: z.string().startsWith("/", "must be an absolute path"),
  WAYBILL_QUEUE_PREFIX: z.string().min(1).default("waybill"),
});
export type WorkerEnv = z.infer<typeof WorkerEnv>;
