import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { z } from "zod";
import { HTTP_PORT } from "../env.ts";
import { readIfThere, writeDurably } from "../files.ts";
import { ROLE_FILES } from "../places.ts";
import type { HostOptions } from "./env.ts";

const Host = z.object({
  /** Eight hex digits in the name of every bridge, cgroup and socket folder. */
  id: z.string().regex(/^[0-9a-f]{8}$/),
  api: z.string(),
  httpPort: z.int(),
  address: z.string().optional(),
});
/** What is chosen once for a node's data folder, and what was last said of it. */
export type Host = z.infer<typeof Host>;

export async function readHost(dataDir: string): Promise<Host | undefined> {
  const path = join(dataDir, ROLE_FILES.node);
  const text = await readIfThere(path);
  if (text === undefined) return undefined;
  try {
    return Host.parse(JSON.parse(text));
  } catch (cause) {
    throw new Error(`${path} is not what this version of Waybill understands`, { cause });
  }
}

export async function writeHost(dataDir: string, host: Host): Promise<void> {
  await writeDurably(join(dataDir, ROLE_FILES.node), `${JSON.stringify(host, null, 2)}\n`);
}

/** What this start goes by, or in words why nothing can be started by what was said. */
export function chooseHost(
  { api, joinToken, address, httpPort }: HostOptions,
  kept: Host | undefined,
): Host | readonly string[] {
  const wrong = [];
  if (api === undefined && kept === undefined) wrong.push("Say where the api is, with --api URL.");
  if (kept === undefined && joinToken === undefined) {
    wrong.push("This host has not joined yet: give it a token with --join TOKEN.");
  }
  if (kept && api !== undefined && api !== kept.api && joinToken === undefined) {
    wrong.push(`This host has joined ${kept.api}: to join ${api}, give a token with --join TOKEN.`);
  }
  const chosen = api ?? kept?.api;
  if (chosen === undefined || wrong.length > 0) return wrong;
  const where = address ?? kept?.address;
  return {
    id: kept?.id ?? randomBytes(4).toString("hex"),
    api: chosen,
    httpPort: httpPort ?? kept?.httpPort ?? HTTP_PORT,
    ...(where !== undefined && { address: where }),
  };
}
