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
