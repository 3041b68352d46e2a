import { isIP } from "node:net";
import type { Probe } from "../../contract/pod/probe.ts";
import { httpCall } from "../api/http-call.ts";
import { type Answer, excerptOf, msSince, noAnswerWithin } from "./answer.ts";

/** So much of an answer is waited for: one that goes on for ever is an answer, too. */
const ANSWER_BYTES = 200;

export type HttpQuestion = Pick<NonNullable<Probe["httpGet"]>, "path" | "httpHeaders"> & {
  readonly port: number;
  readonly timeoutSeconds: number;
};

/**
 * Asks the pod itself, from outside its containers. The address is the sandbox's, never one that a
 * spec could name, and redirects are not followed: they are good answers, as in Kubernetes.
 */
export async function httpGet(
  ip: string,
  question: HttpQuestion,
  signal: AbortSignal,
): Promise<Answer> {
  const host = isIP(ip) === 6 ? `[${ip}]` : ip;
  const startedAtMs = performance.now();
  try {
    const { status, text } = await httpCall({
      to: { url: `http://${host}:${question.port}${question.path}` },
      method: "GET",
      headers: headersOf(question),
      timeoutMs: question.timeoutSeconds * 1_000,
      maxBytes: ANSWER_BYTES,
      cut: true,
      signal,
    });
    const outcome = status >= 200 && status < 400 ? "good" : "bad";
    return { outcome, status, excerpt: excerptOf(text), latencyMs: msSince(startedAtMs) };
  } catch (error) {
    return { ...unanswered(error, question), status: undefined, latencyMs: msSince(startedAtMs) };
  }
}

/** Why a connection gave no answer. */
export function unanswered(
  error: unknown,
  question: { readonly port: number; readonly timeoutSeconds: number },
): Pick<Answer, "outcome" | "excerpt"> {
  if (!(error instanceof Error)) return { outcome: "bad", excerpt: excerptOf(String(error)) };
  if ("code" in error && error.code === "ECONNREFUSED")
    return { outcome: "refused", excerpt: `connection refused on port ${question.port}` };
  const late = error.name === "TimeoutError";
  return { outcome: "bad", excerpt: late ? noAnswerWithin(question) : excerptOf(error.message) };
}

/** A name that stands there more than once is sent as often. */
function headersOf({ httpHeaders }: HttpQuestion): Readonly<Record<string, string | string[]>> {
  const byName = Map.groupBy(httpHeaders, (it) => it.name.toLowerCase());
  const said = [...byName].map(([name, all]) => {
    const values = all.map((it) => it.value);
    return [name, name === "host" ? (values[0] ?? "") : values] as const;
  });
  return {
    "user-agent": "waybill-probe",
    accept: "*/*",
    connection: "close",
    ...Object.fromEntries(said),
  };
}
