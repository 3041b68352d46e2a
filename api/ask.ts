import type { NodeId } from "../contract/ids.ts";
import { type CallerRow, findCallers } from "../db/access/callers.ts";
import { touchTokens } from "../db/access/tokens.ts";
import type { Db } from "../db/client.ts";
import { databaseUnavailable } from "../db/errors.ts";
import { type NodeWish, readDesired } from "../db/nodes/desired.ts";
import { type Repetition, takeRepetitions } from "../db/nodes/repetitions.ts";
import { type Claim, claimSessions } from "../db/nodes/sessions.ts";
import { type Said, type SightOutcome, storeReports } from "../db/nodes/sight.ts";
import { batched } from "../kit/batched.ts";

/**
 * What every agent asks all the time, asked of the database for many agents at once: where thousands
 * are woken by one change, or come back after a restart, that takes a few statements.
 */
export type Ask = {
  /** Whose token has this id, and where that is a node's how it stands there. */
  caller(token: string): Promise<CallerRow | undefined>;
  /** Notes that the token of this id was used. */
  touch(id: string): Promise<void>;
  claim(claim: Claim): Promise<boolean>;
  wish(node: NodeId): Promise<NodeWish | undefined>;
  /** Whether the report says what the one before said; then it was taken as a sign of life. */
  repeats(said: Repetition): Promise<boolean>;
  /** Stores a report that repeats none. */
  report(said: Said): Promise<SightOutcome>;
};

/** Each kind of question has a connection or two at most: agents take eight together, and leave the others to people. */
const LOOKS = { atMost: 1_000, atOnce: 1, everyMs: 2 };
/** Each is a write of its own row; they may gather a little longer. */
const NOTES = { atMost: 1_000, atOnce: 1, everyMs: 5 };
/** A large answer must not keep a small one waiting. */
const WISHES = { atMost: 250, atOnce: 2, everyMs: 0 };
/** Fewer, since each is a transaction that holds the rows of all its nodes. */
const REPORTS = { atMost: 50, atOnce: 2, everyMs: 0 };

export function openAsk(db: Db, appsDomain: string): Ask {
  return {
    caller: batched(LOOKS, async (ids: readonly string[]) => {
      const found = await findCallers(db, ids);
      return ids.map((id) => found.get(id));
    }),
    touch: batched(NOTES, async (ids: readonly string[]) => {
      await touchTokens(db, ids);
      return ids.map(() => undefined);
    }),
    claim: batched(NOTES, (claims) => claimSessions(db, claims)),
    wish: batched(WISHES, (nodes) => readDesired(db, nodes, appsDomain)),
    repeats: batched(NOTES, (said) => takeRepetitions(db, said)),
    report: batched(
      REPORTS,
      apart((said: readonly Said[]) => storeReports(db, said)),
    ),
  };
}

/** The same, but one that is refused by the database keeps the others of its batch from nothing. */
function apart<Question, Answer>(
  answer: (questions: readonly Question[]) => Promise<readonly Answer[]>,
): (questions: readonly Question[]) => Promise<readonly (Answer | Promise<Answer>)[]> {
  return async (questions) => {
    try {
      return await answer(questions);
    } catch (error) {
      if (questions.length === 1 || databaseUnavailable(error)) throw error;
      return questions.map(async (question) => {
        const [only] = await answer([question]);
        if (only === undefined) throw new Error("the only question was not answered");
        return only;
      });
    }
  };
}
