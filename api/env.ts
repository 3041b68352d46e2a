import { z } from "zod";
import { bytes } from "../contract/document/units.ts";
import { HostPathPrefixes, HostPortRanges } from "../contract/pod/host-policy.ts";

const Port = z.coerce.number().int().min(0).max(65_535);

export const ApiEnv = z.object({
  DATABASE_URL: z.string().min(1),
  REGISTRY_URL: z.url({ protocol: /^https?$/ }),
  WAYBILL_API_HOST: z.string().min(1).default("127.0.0.1"),
  WAYBILL_API_PORT: Port.default(7070),
  WAYBILL_HTTP_PORT: Port.default(8080),
  WAYBILL_APPS_DOMAIN: z
    .string()
    .regex(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/, "must be a domain name in lower case")
    .default("localhost"),
  WAYBILL_MAX_ARTIFACT: z
    .string()
    .default("1Gi")
    .transform((text) => bytes(text) ?? 0)
    .refine((count) => count > 0, 'must be a quantity above zero, such as "1Gi"'),
  /** The keys that secrets are sealed with; without it no secret is taken. */
  WAYBILL_SECRETS_KEY_FILE: z.string().startsWith("/", "must be an absolute path").optional(),
  WAYBILL_HOST_PATHS: HostPathPrefixes,
  WAYBILL_HOST_PORTS: HostPortRanges,
});
export type ApiEnv = z.infer<typeof ApiEnv>;

/** The bindings of an edge runtime, which has no files: the key file's text is one of them. */
export const EdgeEnv = ApiEnv.omit({ WAYBILL_SECRETS_KEY_FILE: true }).extend({
  WAYBILL_SECRETS_KEY: z.string().min(1).optional(),
});
