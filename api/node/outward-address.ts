import { createSocket } from "node:dgram";
import { once } from "node:events";
import { reachableAddress } from "../../contract/node/host.ts";

/** Addresses that are reserved for documentation: routed like all that is far away, and sent nothing. */
const FAR = [
  { type: "udp4", address: "192.0.2.1" },
  { type: "udp6", address: "2001:db8::1" },
] as const;
const ANY_PORT = 9;
const EVERYWHERE = new Set(["0.0.0.0", "::"]);

/**
 * Where other hosts reach an api that listens at `host`, an address or a name: there, and where it listens
 * on all interfaces, at this machine's own address on its way out. Null for loopback, and where there is
 * no way out.
 */
export async function outwardAddress(host: string): Promise<string | null> {
  if (!EVERYWHERE.has(host)) return isName(host) ? nameElsewhere(host) : reachable(host);
  for (const { type, address } of FAR) {
    const own = await ownAddressTowards(type, address);
    if (own !== undefined) return own;
  }
  return null;
}

function isName(host: string): boolean {
  return !/^[\d.]+$|:/.test(host);
}

function nameElsewhere(name: string): string | null {
  return /(^|\.)localhost$/.test(name) ? null : name;
}

function reachable(address: string): string | null {
  return reachableAddress(address) ?? null;
}

/** As the kernel's routes choose it: connecting a datagram socket asks them, and sends nothing. */
async function ownAddressTowards(type: "udp4" | "udp6", far: string): Promise<string | undefined> {
  const socket = createSocket(type);
  try {
    socket.connect(ANY_PORT, far);
    await once(socket, "connect");
    return reachableAddress(socket.address().address);
  } catch (error) {
    if (error instanceof Error && "syscall" in error) return undefined; // no way there
    throw error;
  } finally {
    socket.close();
  }
}
