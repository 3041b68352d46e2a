import { and, eq, sql } from "drizzle-orm";
import type { ProjectId } from "../../contract/ids.ts";
import type { Tx } from "../client.ts";
import { audit } from "../schema/history.ts";

export type AuditEntry = {
  readonly projectId: ProjectId | null;
  /** `personal:<token id>`, `service:<token id>`, `node:<name>`. */
  readonly actor: string;
  readonly action: string;
  readonly object: string;
  readonly requestId: string;
  readonly ip: string | null;
  readonly result: "done" | "denied";
  /** SHA-256 of what stood there, never the values. */
  readonly before: string | null;
  readonly after: string | null;
};

/** One row a change or denied change; in the change's own transaction. */
export async function recordAudit(tx: Tx, entry: AuditEntry): Promise<void> {
  await tx.insert(audit).values(entry);
}

/** The same, unless this actor did the same so short a time ago. Of two at once both may be written. */
export async function recordAuditOnce(tx: Tx, entry: AuditEntry, seconds: number): Promise<void> {
  const { actor, action, object, result } = entry;
  const [same] = await tx
    .select({ seq: audit.seq })
    .from(audit)
    .where(
      and(
        eq(audit.actor, actor),
        sql`${audit.at} > now() - make_interval(secs => ${seconds})`,
        eq(audit.action, action),
        eq(audit.object, object),
        eq(audit.result, result),
      ),
    )
    .limit(1);
  if (same === undefined) await recordAudit(tx, entry);
}
