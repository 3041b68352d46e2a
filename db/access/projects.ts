import { eq } from "drizzle-orm";
import type { ProjectId } from "../../contract/ids.ts";
import type { Tx } from "../client.ts";
import { projects } from "../schema/core.ts";

/** The project of this name, made if it is not there. */
export async function ensureProject(tx: Tx, name: string): Promise<ProjectId> {
  await tx.insert(projects).values({ name }).onConflictDoNothing();
  const [row] = await tx.select({ id: projects.id }).from(projects).where(eq(projects.name, name));
  if (row === undefined) throw new Error(`project "${name}" is gone right after it was made`);
  return row.id;
}
