import { howToJoinAnew } from "../../contract/node/host.ts";
import type { HeldWish } from "../../contract/node/protocol.ts";
import { backoffMs } from "../../kit/backoff.ts";
import type { Log } from "../../kit/log.ts";
import { rest } from "../../kit/rest.ts";
import type { Ledger } from "../disk/ledger.ts";
import type { ApiClient, Heard, Refused } from "./client.ts";
import type { Silence } from "./silence.ts";

const RETRY = { minMs: 250, maxMs: 10_000 };
const TAKEN_RETRY = { minMs: 250, maxMs: 3_000 };
/** An api that answers "unchanged" at once, against the protocol, is not asked in a tight loop. */
const SHORTEST_TURN_MS = 500;

type Missed = { readonly because: string; readonly refused?: Refused };

/**
 * Asks for the wish until `signal` is aborted, puts every newer one into the ledger and then calls
 * `onNews`. Whatever else comes back changes nothing and is asked for again, more and more slowly.
 */
export async function followDesired(deps: {
  readonly client: ApiClient;
  readonly ledger: Ledger;
  readonly silence: Silence;
  readonly signal: AbortSignal;
  readonly log: Log;
  readonly onNews: () => void;
}): Promise<void> {
  const { client, ledger, silence, signal, log, onNews } = deps;
  let failures = 0;
  let told: string | undefined;
  let skew: string | undefined;
  while (!signal.aborted) {
    const askedAtMs = performance.now();
    const missed = await turn();
    if (signal.aborted) return;
    tellSkew();
    if (missed === undefined) {
      silence.heard();
      if (told !== undefined) log.info("the api answers again");
      told = undefined;
      failures = 0;
      await rest(SHORTEST_TURN_MS - (performance.now() - askedAtMs), signal);
    } else {
      const { because, refused } = missed;
      silence.missed(because, refused !== undefined);
      const name = client.identity()?.name;
      const way = refused === "unknown" && name !== undefined ? howToJoinAnew(name) : undefined;
      // The api says the same where it knows whose token that was.
      const todo = way !== undefined && !because.includes(way) && { todo: way };
      if (because !== told)
        log.warn("no news from the api; what runs here goes on", { because, ...todo });
      told = because;
      await rest(backoffMs(failures, refused === "taken" ? TAKEN_RETRY : RETRY), signal);
      failures += 1;
    }
  }

  /** Once, and once more when it is over: nothing of it passes by itself. */
  function tellSkew(): void {
    const now = client.skew();
    if (now === skew) return;
    skew = now;
    if (now === undefined) log.info("the api and this agent speak the same protocol again");
    else log.warn("no new pods come here; what runs here goes on", { because: now });
  }

  /** Why there was no usable answer, or undefined. */
  async function turn(): Promise<Missed | undefined> {
    try {
      // Some of the wish may wait for the api to say that it stands.
      const atOnce = !silence.confirmed();
      const heard = await client.fetchDesired(heldBy(client, ledger), signal, atOnce);
      return await take(heard);
    } catch (error) {
      if (!signal.aborted) log.error("the wish could not be kept", error);
      return { because: `the wish could not be kept: ${String(error)}` };
    }
  }

  async function take(heard: Heard): Promise<Missed | undefined> {
    if (heard.kind === "unchanged") return undefined;
    if (heard.kind === "nothing-new") return heard;
    const verdict = await ledger.accept(heard.state, heard.identity.node);
    if (verdict === "older" || verdict === "foreign")
      return { because: `an ${verdict} wish was refused` };
    // First: whoever looks at the news is to find them confirmed.
    silence.heard();
    if (verdict === "taken") onNews();
    return undefined;
  }
}

/** Another node's ledger says nothing about ours. */
function heldBy(client: ApiClient, ledger: Ledger): HeldWish | undefined {
  const current = ledger.current();
  return current?.node === client.identity()?.node ? current : undefined;
}
