import { readFile } from "node:fs/promises";
import { isIPv4 } from "node:net";

const ESTABLISHED = "01";

/** How many connections this host's own programs hold open to one of these `ip:port`; IPv6 is not looked at. */
export async function connectionsTo(addresses: readonly string[]): Promise<number> {
  return openConnections(await readFile("/proc/net/tcp", "utf8"), addresses);
}

/** `table` is /proc/net/tcp: number, local address, remote address, state. Pure. */
export function openConnections(table: string, addresses: readonly string[]): number {
  const sought = new Set(addresses.map(asInTable));
  return table
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , remote = "", state]) => state === ESTABLISHED && sought.has(remote)).length;
}

/** "10.0.0.2:8080" is "0200000A:1F90" there. */
function asInTable(address: string): string {
  const [ip = "", port = ""] = address.split(":");
  if (!isIPv4(ip)) return "";
  const hex = (value: number, digits: number) =>
    value.toString(16).toUpperCase().padStart(digits, "0");
  const bytes = ip.split(".").reverse();
  return `${bytes.map((it) => hex(Number(it), 2)).join("")}:${hex(Number(port), 4)}`;
}
