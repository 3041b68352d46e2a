import { once } from "node:events";
import { connect } from "node:net";
import { timeoutError } from "../api/http-call.ts";
import { type Answer, msSince } from "./answer.ts";
import { unanswered } from "./http-get.ts";

/** Whether somebody accepts a connection there; it is closed at once. */
export async function tcpSocket(
  ip: string,
  question: { readonly port: number; readonly timeoutSeconds: number },
  signal: AbortSignal,
): Promise<Answer> {
  const startedAtMs = performance.now();
  const timeoutMs = question.timeoutSeconds * 1_000;
  const socket = connect({ host: ip, port: question.port });
  socket.setTimeout(timeoutMs, () => socket.destroy(timeoutError(timeoutMs)));
  try {
    await once(socket, "connect", { signal });
    return { outcome: "good", status: undefined, excerpt: "", latencyMs: msSince(startedAtMs) };
  } catch (error) {
    const why = unanswered(error, question);
    return { ...why, status: undefined, latencyMs: msSince(startedAtMs) };
  } finally {
    socket.destroy();
  }
}
