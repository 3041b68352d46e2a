import { once } from "node:events";
import { connect } from "node:net";
import { type Answer, msSince } from "./answer.ts";
import { unanswered } from "./http-get.ts";

/** Whether somebody accepts a connection there; it is closed at once. */
export async function tcpSocket(
  ip: string,
  question: { readonly port: number; readonly timeoutSeconds: number },
  signal: AbortSignal,
): Promise<Answer> {
  const startedAtMs = performance.now();
  const timeout = AbortSignal.timeout(question.timeoutSeconds * 1_000);
  const socket = connect({ host: ip, port: question.port });
  try {
    await once(socket, "connect", { signal: AbortSignal.any([timeout, signal]) });
    return { outcome: "good", status: undefined, excerpt: "", latencyMs: msSince(startedAtMs) };
  } catch (error) {
    const why = unanswered(timeout.aborted ? timeout.reason : error, question);
    return { ...why, status: undefined, latencyMs: msSince(startedAtMs) };
  } finally {
    socket.destroy();
  }
}
