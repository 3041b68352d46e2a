import { writeFile } from "node:fs/promises";

const MIGRATE_REQUESTS = "/proc/sys/net/ipv4/tcp_migrate_req";

/**
 * Lets a connection that Caddy has not accepted yet survive the reload of its configuration: each
 * reload opens the port anew and closes the old queue, and without this the kernel resets whoever
 * waits in there. Says why not where the kernel (before 5.14) or our rights do not allow it.
 */
export async function keepQueuedConnections(): Promise<string | undefined> {
  try {
    await writeFile(MIGRATE_REQUESTS, "1");
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
