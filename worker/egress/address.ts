import { BlockList, isIP } from "node:net";

/** What kind of place an address is, for the question whether this side may connect there. */
export type AddressKind = "public" | "loopback" | "private" | "never";

/**
 * "never" is what no operator can allow: link-local addresses, where clouds keep their credentials,
 * and what is no single host. "private" is everything else that is not the public Internet, and
 * IPv6 that carries an IPv4 address inside: the inner one would have to be judged, and nobody needs it.
 * Source: IANA's special-purpose address registries.
 */
export function addressKind(address: string): AddressKind {
  const version = isIP(address);
  if (version === 0) return "never";
  const family = version === 6 ? "ipv6" : "ipv4";
  if (NEVER.check(address, family)) return "never";
  if (LOOPBACK.check(address, family)) return "loopback";
  if (version === 4) return PRIVATE_V4.check(address, family) ? "private" : "public";
  const isPublic =
    GLOBAL_V6.check(address, family) && !TUNNELS_V6.check(address, family) && !isIsatap(address);
  return isPublic ? "public" : "private";
}

const NEVER = blocks(
  ...["0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4"],
  ...["::/128", "fe80::/10", "ff00::/8", "fd00:ec2::254/128"],
);
const LOOPBACK = blocks("127.0.0.0/8", "::1/128");
const PRIVATE_V4 = blocks(
  ...["10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24"],
  ...["192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"],
);
const GLOBAL_V6 = blocks("2000::/3");
/** Teredo and the rest of 2001::/23, documentation, 6to4. NAT64 and mapped addresses are outside 2000::/3. */
const TUNNELS_V6 = blocks("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20");

function blocks(...cidrs: readonly string[]): BlockList {
  const list = new BlockList();
  for (const cidr of cidrs) addCidr(list, cidr);
  return list;
}

/** False when the text is no CIDR such as "10.0.0.0/8". */
export function addCidr(list: BlockList, cidr: string): boolean {
  const [, address = "", prefix] = /^([0-9a-fA-F.:]+)\/(\d{1,3})$/.exec(cidr) ?? [];
  const version = isIP(address);
  if (version === 0 || Number(prefix) > (version === 6 ? 128 : 32)) return false;
  list.addSubnet(address, Number(prefix), version === 6 ? "ipv6" : "ipv4");
  return true;
}

/** An interface id of ::5efe:a.b.c.d or ::200:5efe:a.b.c.d, below any prefix. */
function isIsatap(address: string): boolean {
  const inner = URL.parse(`http://[${address}]`)?.hostname ?? "";
  return /:(200|0)?:?5efe:[0-9a-f]{1,4}:[0-9a-f]{1,4}\]$/.test(inner);
}
