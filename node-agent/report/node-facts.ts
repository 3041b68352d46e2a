import type { NodeReport } from "../../contract/node/protocol.ts";
import type { NodeFacts } from "../run.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Purger } from "../volumes/purge.ts";

/** Handlers come with a restart of the runtime, which nobody announces. */
const HANDLERS_EVERY_MS = 30_000;
/** No pass is to wait for a runtime that does not answer this time and again. */
const AGAIN_MS = 5_000;
/** Source: the node protocol's bounds. */
const MAX_HANDLERS = 100;
const MAX_PURGED = 1_000;

export type NodeFactsSource = {
  /** Asks the runtime again where that is due. Where it does not tell, what it told last stands. */
  refresh(): Promise<void>;
  facts(): NodeFacts;
};

/** What a node says of itself in every report: what stays for a boot, and what does not. */
export function openNodeFacts(
  fixed: Pick<NodeReport, "bootId" | "version" | "capacity">,
  runtime: Pick<Runtime, "handlers">,
  purger: Pick<Purger, "purged">,
  onTrouble: (error: unknown) => void,
): NodeFactsSource {
  let handlers: readonly string[] = [];
  let dueAtMs = Number.NEGATIVE_INFINITY;
  return {
    async refresh() {
      const nowMs = performance.now();
      if (nowMs < dueAtMs) return;
      try {
        handlers = await runtime.handlers();
        dueAtMs = nowMs + HANDLERS_EVERY_MS;
      } catch (error) {
        onTrouble(error);
        dueAtMs = nowMs + AGAIN_MS;
      }
    },
    facts: () => ({
      ...fixed,
      sinceBootMs: sinceBootMs(),
      handlers: handlers.slice(0, MAX_HANDLERS),
      // The others have their turn once the wish names these no more.
      purgedVolumes: purger.purged().slice(0, MAX_PURGED),
    }),
  };
}

/** By the clock that this counts by nobody can set it back, and an agent's restart does not begin anew. */
function sinceBootMs(): number {
  return Number(process.hrtime.bigint() / 1_000_000n);
}
