import { type SQL, type SQLWrapper, sql } from "drizzle-orm";
import { nodeStatus } from "../schema/core.ts";

/**
 * So long a report may have been on its way. A host that was set back to an earlier moment, memory and
 * all, tells of times that were told before: after so long without a report it is believed again.
 */
const UNDER_WAY = sql`interval '2 minutes'`;

/**
 * Whether a report made `sinceBootMs` after this boot began comes after one that is stored and was made
 * later. An agent that waits in vain for an answer makes another report, and the first may still be
 * under way: both may tell of one generation. Never so for a report that tells no time.
 */
export function isLate(bootId: SQLWrapper, sinceBootMs: SQLWrapper): SQL {
  return sql`coalesce(${bootId} = ${nodeStatus.bootId} and ${sinceBootMs} < ${nodeStatus.sinceBootMs}
    and ${nodeStatus.seenAt} > now() - ${UNDER_WAY}, false)`;
}
