import { randomUUID } from "node:crypto";
import { z } from "zod";
import { readIfThere, writeDurably } from "./durable-file.ts";
import { readJson } from "./read-json.ts";

const Session = z.strictObject({ bootId: z.string(), session: z.uuid() });

/**
 * What tells this agent from another that has its token: the same for every agent of this boot, and
 * another after a reboot. The file is to lie where the image of a disk does not reach, since a copy of
 * the host must not have it.
 */
export async function openSession(file: string, bootId: string): Promise<string> {
  const text = await readIfThere(file);
  const kept = text === undefined ? undefined : readJson(Session, text).value;
  if (kept?.bootId === bootId) return kept.session;
  const session = randomUUID();
  await writeDurably(file, JSON.stringify({ bootId, session }));
  return session;
}
