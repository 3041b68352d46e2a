import { z } from "zod";

/*
 * Probes and lifecycle hooks as Kubernetes means them. `host` and `scheme` are not among their
 * fields: a probe asks the pod's own address, in plain HTTP, and nothing else.
 */

export const Port = z.int().min(1).max(65_535);
/** The name of a port, by which a probe may call it. Source: Kubernetes' IANA_SVC_NAME. */
export const PortName = z
  .string()
  .max(15)
  .regex(/^(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*$/, 'must be a port\'s name, such as "http"');
const PortReference = z.union([Port, PortName], "must be a port's number or its name");

const Header = z.strictObject({
  name: z.string().regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$/, "must be a header's name"),
  value: z
    .string()
    .max(1_000)
    .regex(/^[\t\x20-\x7e]*$/, "must be printable ASCII"),
});

export const HttpGet = z.strictObject({
  path: z
    .string()
    .max(1_024)
    .regex(/^\/[\x21-\x7e]*$/, "must be a path that starts with /")
    .default("/"),
  port: PortReference,
  httpHeaders: z.array(Header).max(20).default([]),
});
export const TcpSocket = z.strictObject({ port: PortReference });
/** Run in the container, without a shell of its own. */
export const Exec = z.strictObject({
  command: z.array(z.string().max(65_536)).min(1).max(200),
});

const TIMING = {
  initialDelaySeconds: z.int().min(0).max(86_400).default(0),
  periodSeconds: z.int().min(1).max(3_600).default(10),
  timeoutSeconds: z.int().min(1).max(3_600).default(1),
  failureThreshold: z.int().min(1).max(10_000).default(3),
  successThreshold: z.int().min(1).max(100).default(1),
};

/** Exactly one of `httpGet`, `tcpSocket` and `exec`: see pod-rules.ts. */
export const Probe = z.strictObject({
  httpGet: HttpGet.optional(),
  tcpSocket: TcpSocket.optional(),
  exec: Exec.optional(),
  ...TIMING,
});
export type Probe = z.infer<typeof Probe>;

/** What runs right after a start, or right before SIGTERM. Exactly one action: see pod-rules.ts. */
export const Hook = z.strictObject({
  httpGet: HttpGet.optional(),
  exec: Exec.optional(),
  sleep: z.strictObject({ seconds: z.int().min(0).max(3_600) }).optional(),
});
export type Hook = z.infer<typeof Hook>;

export const Lifecycle = z.strictObject({ postStart: Hook.optional(), preStop: Hook.optional() });
export type Lifecycle = z.infer<typeof Lifecycle>;
