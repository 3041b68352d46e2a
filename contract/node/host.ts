import { z } from "zod";
import {
  bytes,
  CpuQuantity,
  cpuMillis,
  Duration,
  durationMs,
  MemoryQuantity,
} from "../document/units.ts";
import { Name } from "../ids.ts";
import { Labels } from "../pod/pod.ts";
import type { Amounts } from "../pod/requests.ts";
import { MAX_WISH_PODS } from "./wish-size.ts";

/* What is said of a host before and beside its work: who may join as what, and where it is found. */

/**
 * Tells an agent from another one that has its token: a UUID, made by the first agent of a boot and
 * kept by those that follow it there. An agent that sends none counts as one of all zeros.
 */
export const SESSION_HEADER = "waybill-agent-session";
export const NO_SESSION = "00000000-0000-0000-0000-000000000000";

const MAX_JOIN_LIFE = "1h";

/** As much as a node may offer, whatever it reports; an amount that is not named has no bound. */
export const Most = z.strictObject({
  cpu: CpuQuantity.optional(),
  memory: MemoryQuantity.optional(),
  pods: z.int().min(1).max(MAX_WISH_PODS).optional(),
});
export type Most = z.infer<typeof Most>;

/** What a join token is to be for; who holds it can choose none of this. */
export const JoinTokenRequest = z.strictObject({
  /** Absent: a name is made up. */
  name: Name.optional(),
  /** Absent: a node that is known already keeps its own. */
  labels: Labels.optional(),
  /** Absent: a node that is known already keeps its own. */
  capacity: Most.optional(),
  expiresIn: Duration.refine(
    (text) => (durationMs(text) ?? 0) <= (durationMs(MAX_JOIN_LIFE) ?? 0),
    `must be at most ${MAX_JOIN_LIFE}`,
  ).default("15m"),
});
export type JoinTokenRequest = z.infer<typeof JoinTokenRequest>;

/** What a person does for a node whose token has ended, in words. */
export function howToJoinAnew(name: string): string {
  return `The token of ${name} has ended. To take it back, make a join token for it (POST /v1/nodes/join-tokens {"name": "${name}"}) and type on that host: npm run agent -- --join TOKEN`;
}

/** What a node offers of what it reports. */
export function offered(reported: Amounts, { cpu, memory, pods }: Most): Amounts {
  const within = (amount: number, bound: number | undefined) => Math.min(amount, bound ?? amount);
  return {
    cpuMillis: within(reported.cpuMillis, cpu === undefined ? undefined : cpuMillis(cpu)),
    memoryBytes: within(reported.memoryBytes, memory === undefined ? undefined : bytes(memory)),
    pods: within(reported.pods, pods),
  };
}

/** The addresses of one node's pods. */
export const PodRange = z
  .string()
  .regex(
    /^10\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.0\/24$/,
    "must be a /24 below 10.0.0.0/8, such as 10.64.7.0/24",
  )
  .refine(
    (text) => text.split(".").every((part) => Number.parseInt(part, 10) <= 255),
    "must be a range of IPv4 addresses",
  );

const SECOND_BYTES = { from: 64, count: 64 };
export const POD_RANGES = SECOND_BYTES.count * 256;

/** The range that an address lies in; undefined where no node's pods could have one there. */
export function rangeAround(address: string): string | undefined {
  const range = address.replace(/^::ffff:/i, "").replace(/\.\d+$/, ".0/24");
  return PodRange.safeParse(range).success ? range : undefined;
}

/**
 * A range between 10.64.0.0 and 10.127.255.255 that is not taken, the first one from number `start`
 * on: a random one, so that two installations on one network hardly meet. Undefined when all are.
 */
export function freePodRange(taken: ReadonlySet<string>, start: number): string | undefined {
  for (let offset = 0; offset < POD_RANGES; offset++) {
    const at = (start + offset) % POD_RANGES;
    const range = `10.${SECOND_BYTES.from + Math.floor(at / 256)}.${at % 256}.0/24`;
    if (!taken.has(range)) return range;
  }
  return undefined;
}

/**
 * The address in its one spelling, or undefined for what is none that another host could reach: a name,
 * this host's own, one of its link's, of many hosts' or of none.
 */
export function reachableAddress(text: string): string | undefined {
  const plain = text.replace(/^::ffff:(?=\d+\.)/i, "");
  if (z.ipv4().safeParse(plain).success)
    return /^(0|127|169\.254|22[4-9]|2[3-5]\d)\./.test(plain) ? undefined : plain;
  if (!z.ipv6().safeParse(plain).success) return undefined;
  const written = URL.parse(`http://[${plain}]/`)?.hostname.slice(1, -1);
  return written === undefined || /^(::|fe[89ab]|ff|64:ff9b:)/.test(written) ? undefined : written;
}
