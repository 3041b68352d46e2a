import type { NodeId } from "../contract/ids.ts";
import { findLiveTokens, type TokenRow, touchTokens } from "../db/access/tokens.ts";
import type { Db } from "../db/client.ts";
import { type NodeWish, readDesired, type WishVersion, wishVersions } from "../db/nodes/desired.ts";
import { type Repetition, takeRepetitions } from "../db/nodes/repetitions.ts";
import { type Claim, claimSessions, findSpeakers, type Speaker } from "../db/nodes/sessions.ts";
import { batched } from "../kit/batched.ts";

/**
 * What every agent asks all the time, asked of the database for many agents at once: where thousands
 * are woken by one change, or come back after a restart, that takes a few statements.
 */
export type Ask = {
  token(id: string): Promise<TokenRow | undefined>;
  /** Notes that the token of this id was used. */
  touch(id: string): Promise<void>;
  speaker(who: { readonly name: string; readonly session: string }): Promise<Speaker | undefined>;
  claim(claim: Claim): Promise<boolean>;
  wishVersion(node: NodeId): Promise<WishVersion | undefined>;
  wish(node: NodeId): Promise<NodeWish | undefined>;
  /** Whether the report says what the one before said; then it was taken as a sign of life. */
  repeats(said: Repetition): Promise<boolean>;
};

/** Each kind of question has a connection at most, so that agents leave some to people. */
const ONE = { atMost: 1_000, atOnce: 1 };
/** A large answer must not keep a small one waiting. */
const WISHES = { atMost: 250, atOnce: 2 };

export function openAsk(db: Db, appsDomain: string): Ask {
  return {
    token: batched(ONE, async (ids: readonly string[]) => {
      const found = await findLiveTokens(db, ids);
      return ids.map((id) => found.get(id));
    }),
    touch: batched(ONE, async (ids: readonly string[]) => {
      await touchTokens(db, ids);
      return ids.map(() => undefined);
    }),
    speaker: batched(ONE, (asked) => findSpeakers(db, asked)),
    claim: batched(ONE, (claims) => claimSessions(db, claims)),
    wishVersion: batched(ONE, async (nodes: readonly NodeId[]) => {
      const found = await wishVersions(db, nodes);
      return nodes.map((node) => found.get(node));
    }),
    wish: batched(WISHES, (nodes) => readDesired(db, nodes, appsDomain)),
    repeats: batched(ONE, (said) => takeRepetitions(db, said)),
  };
}
