import { isIP } from "node:net";
import type { Probe } from "../../contract/pod.ts";
import { httpCall } from "../http-call.ts";

/** What one question to a pod gave. */
export type Answer =
  | {
      readonly kind: "answered";
      readonly status: number;
      readonly excerpt: string;
      readonly latencyMs: number;
    }
  | { readonly kind: "refused"; readonly excerpt: string }
  | { readonly kind: "failed"; readonly excerpt: string };

const EXCERPT_BYTES = 200;

/**
 * Asks the pod itself, from outside its containers. The address is the sandbox's, never one that a
 * spec could name, and redirects are not followed.
 */
export async function httpGet(ip: string, probe: Probe, signal: AbortSignal): Promise<Answer> {
  const host = isIP(ip) === 6 ? `[${ip}]` : ip;
  const startedAtMs = performance.now();
  try {
    const answer = await httpCall({
      to: { url: `http://${host}:${probe.httpGet.port}${probe.httpGet.path}` },
      method: "GET",
      headers: { "user-agent": "waybill-probe", accept: "*/*", connection: "close" },
      timeoutMs: probe.timeoutSeconds * 1_000,
      maxBytes: EXCERPT_BYTES,
      cut: true,
      signal,
    });
    const latencyMs = Math.round((performance.now() - startedAtMs) * 10) / 10;
    return { kind: "answered", status: answer.status, excerpt: printable(answer.text), latencyMs };
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ECONNREFUSED")
      return { kind: "refused", excerpt: `connection refused on port ${probe.httpGet.port}` };
    return { kind: "failed", excerpt: words(error, probe) };
  }
}

function words(error: unknown, probe: Probe): string {
  if (error instanceof Error && error.name === "TimeoutError")
    return `no answer within ${probe.timeoutSeconds} s`;
  return printable(error instanceof Error ? error.message : String(error));
}

/** On one line, without control characters: it ends up in terminals and logs. */
function printable(text: string): string {
  return text
    .replace(/\p{C}+/gu, " ")
    .trim()
    .slice(0, EXCERPT_BYTES);
}
