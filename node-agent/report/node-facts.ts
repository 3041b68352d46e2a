import type { NodeReport } from "../../contract/node/protocol.ts";
import type { NodeFacts } from "../run.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Purger } from "../volumes/purge.ts";

/** Handlers come with a restart of the runtime, which nobody announces. */
const HANDLERS_EVERY_MS = 30_000;

export type NodeFactsSource = {
  /** Asks the runtime again where that is due. */
  refresh(): Promise<void>;
  facts(): NodeFacts;
};

/** What a node says of itself in every report: what stays for a boot, and what does not. */
export function openNodeFacts(
  fixed: Pick<NodeReport, "bootId" | "version" | "capacity">,
  runtime: Pick<Runtime, "handlers">,
  purger: Pick<Purger, "purged">,
): NodeFactsSource {
  let handlers: readonly string[] = [];
  let askedAtMs = Number.NEGATIVE_INFINITY;
  return {
    async refresh() {
      const nowMs = performance.now();
      if (nowMs - askedAtMs < HANDLERS_EVERY_MS) return;
      handlers = await runtime.handlers();
      askedAtMs = nowMs;
    },
    facts: () => ({ ...fixed, handlers: [...handlers], purgedVolumes: [...purger.purged()] }),
  };
}
