import { setTimeout as sleep } from "node:timers/promises";
import type { NodeId } from "../../contract/ids.ts";
import type { NodeReport } from "../../contract/node/protocol.ts";
import type { Log } from "../../kit/log.ts";
import { startLoop } from "../../kit/loop.ts";
import type { ApiClient } from "../api/client.ts";
import { fitting } from "./fitting.ts";
import { urgentPart } from "./report.ts";

export type Reporter = {
  /**
   * Keeps the newest report, made of the wish of this node; it is sent at once where it says something
   * that somebody waits for.
   */
  offer(node: NodeId, report: NodeReport): void;
  readonly done: Promise<void>;
};

const HEARTBEAT_MS = 10_000;
const DETAILS_EVERY_MS = 1_000;
const SHORTEST_PAUSE_MS = 50;

/**
 * Sends what changed, and all of it every 10 s; what could not be sent is tried again each second.
 * Measures change all the time: they wait for the others, or for the 10 s.
 */
export function openReporter(options: {
  readonly client: ApiClient;
  readonly signal: AbortSignal;
  readonly log: Log;
}): Reporter {
  const { client, signal, log } = options;
  let latest: { readonly node: NodeId; readonly report: NodeReport } | undefined;
  let sent: { readonly urgent: string; readonly text: string; readonly atMs: number } | undefined;
  let misfits: ReadonlySet<string> = new Set();
  let silent = false;

  const sinceSentMs = () => performance.now() - (sent?.atMs ?? Number.NEGATIVE_INFINITY);

  function fitted(report: NodeReport): NodeReport {
    const all = report.pods.map(fitting);
    for (const { status, misfit } of all) {
      if (misfit !== undefined && !misfits.has(status.pod))
        log.warn("what was seen of a pod does not fit", { pod: status.pod, because: misfit });
    }
    misfits = new Set(all.filter((it) => it.misfit !== undefined).map((it) => it.status.pod));
    return { ...report, pods: all.map((it) => it.status) };
  }

  async function pass(): Promise<void> {
    const pauseMs = SHORTEST_PAUSE_MS - sinceSentMs();
    if (pauseMs > 0) await sleep(pauseMs, undefined, { signal });
    if (!latest) return;
    const { node, report } = latest;
    const draft = { urgent: urgencyOf(node, report), text: withoutMeasures(report) };
    const due = sinceSentMs() >= HEARTBEAT_MS;
    if (!due && draft.urgent === sent?.urgent && draft.text === sent.text) return;
    const outcome = await client.putReport(node, fitted(report), signal);
    if (outcome.kind === "sent") sent = { ...draft, atMs: performance.now() };
    else if (!silent) log.warn("the report was not taken", { because: outcome.because });
    silent = outcome.kind !== "sent";
  }

  const loop = startLoop({
    everyMs: DETAILS_EVERY_MS,
    signal,
    pass,
    onError: (error) => log.error("a report could not be sent", error),
  });
  return {
    offer(node, report) {
      latest = { node, report };
      if (urgencyOf(node, report) !== sent?.urgent && !silent) loop.wake();
    },
    done: loop.done,
  };
}

function withoutMeasures(report: NodeReport): string {
  return JSON.stringify(report, (key, value: unknown) =>
    key === "usage" || key === "latencyMs" || key === "sinceBootMs" ? undefined : value,
  );
}

function urgencyOf(node: NodeId, report: NodeReport): string {
  return `${node} ${report.observedGeneration} ${urgentPart(report.pods)}`;
}
