import { z } from "zod";
import { Name } from "../contract/ids.ts";

export const DbEnv = z.object({
  DATABASE_URL: z.string().min(1),
  WAYBILL_ADMIN_TOKEN_FILE: z.string().startsWith("/", "must be an absolute path"),
  WAYBILL_JOIN_TOKEN_FILE: z.string().startsWith("/", "must be an absolute path").optional(),
  WAYBILL_NODE_NAME: Name.default("local"),
});
export type DbEnv = z.infer<typeof DbEnv>;
