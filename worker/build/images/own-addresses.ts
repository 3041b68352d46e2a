import { isIP } from "node:net";
import { hostname, networkInterfaces } from "node:os";
import { isLoopback } from "./places.ts";

type Address = { readonly host: string; readonly port: number };

/**
 * `host:port` of the addresses at which Waybill's own registry is reached: the api's, and the registry
 * behind it, whose repositories would be open to every project otherwise. One on loopback, or on
 * every address, is "localhost" as well.
 */
export function ownAddresses(addresses: readonly Address[]): ReadonlySet<string> {
  const names = addresses.flatMap(({ host, port }) => {
    const everywhere = host === "0.0.0.0" || host === "::";
    const hosts = everywhere ? [host, ...hostsOfThisMachine()] : [host];
    const local = everywhere || isLoopback(host) ? ["localhost"] : [];
    return [...hosts, ...local].map((it) => `${shown(it)}:${port}`);
  });
  return new Set(names);
}

/** Where a URL leads, for `ownAddresses`. */
export function addressOf(url: string): Address {
  const { hostname: host, port, protocol } = new URL(url);
  return {
    host: host.replace(/^\[|\]$/g, ""),
    port: Number(port) || (protocol === "https:" ? 443 : 80),
  };
}

function hostsOfThisMachine(): readonly string[] {
  const addresses = Object.values(networkInterfaces()).flatMap((them) => them ?? []);
  return [hostname(), ...addresses.map(({ address }) => address)];
}

/** As an image's name spells it. */
function shown(host: string): string {
  return isIP(host) === 6 ? `[${host}]` : host.toLowerCase();
}
