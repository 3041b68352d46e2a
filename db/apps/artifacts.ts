import { and, eq, inArray } from "drizzle-orm";
import type { Digest, ProjectId } from "../../contract/ids.ts";
import type { Tx } from "../client.ts";
import { artifacts } from "../schema/material.ts";

/** Which of these digests the project has uploaded. Another project's bytes are not there. */
export async function knownArtifacts(
  tx: Tx,
  project: ProjectId,
  digests: readonly Digest[],
): Promise<ReadonlySet<Digest>> {
  if (digests.length === 0) return new Set();
  const rows = await tx
    .select({ digest: artifacts.digest })
    .from(artifacts)
    .where(and(eq(artifacts.projectId, project), inArray(artifacts.digest, [...digests])));
  return new Set(rows.map((row) => row.digest));
}

// ---- called by api alone, after the bytes are in the registry --------------------------------------

/** Names uploaded bytes; true when they were not known before. */
export async function insertArtifact(
  tx: Tx,
  artifact: { projectId: ProjectId; digest: Digest; sizeBytes: number },
): Promise<boolean> {
  const made = await tx
    .insert(artifacts)
    .values(artifact)
    .onConflictDoNothing()
    .returning({ digest: artifacts.digest });
  return made.length > 0;
}
