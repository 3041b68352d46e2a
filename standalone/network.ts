import { access } from "node:fs/promises";
import { exec } from "../kit/exec.ts";
import { unlessAbsent } from "./files.ts";

const IP = "/usr/sbin/ip";
const IPTABLES = "/usr/sbin/iptables";
const WITHIN = { timeoutMs: 20_000 };

/** Every IPv4 network that this machine has a route to, but for the default one and that of `bridge`. */
export async function routedNetworks(bridge?: string): Promise<readonly string[]> {
  const argv = ["-j", "-4", "route", "show", "table", "all"];
  const routes = JSON.parse((await exec(IP, argv, WITHIN)).stdout) as readonly Route[];
  return routes.flatMap(({ dst, dev }) =>
    dst === undefined || dst === "default" || (bridge !== undefined && dev === bridge) ? [] : [dst],
  );
}

type Route = { readonly dst?: string; readonly dev?: string };

/** Removes the bridge and what is plugged into it; says how many links there were. */
export async function removeBridge(bridge: string): Promise<number> {
  const links = linkNames((await exec(IP, ["-j", "link", "show"], WITHIN)).stdout);
  if (!links.some(({ ifname }) => ifname === bridge)) return 0;
  const plugged = links.filter(({ master }) => master === bridge);
  for (const { ifname } of [...plugged, { ifname: bridge }]) {
    await exec(IP, ["link", "delete", ifname], WITHIN);
  }
  return plugged.length + 1;
}

/** Removes the address translation that CNI made for a network's pods; says how many rules there were. */
export async function removeMasquerade(network: string): Promise<number> {
  if ((await unlessAbsent(access(IPTABLES).then(() => true))) === undefined) return 0;
  const nat = ["-w", "10", "-t", "nat"];
  const listing = await exec(IPTABLES, [...nat, "-S", "POSTROUTING"], WITHIN);
  const rules = masqueradeRules(listing.stdout, network);
  for (const { rule, chain } of rules) {
    await exec(IPTABLES, [...nat, "-D", "POSTROUTING", ...rule], WITHIN);
    await exec(IPTABLES, [...nat, "-F", chain], WITHIN);
    await exec(IPTABLES, [...nat, "-X", chain], WITHIN);
  }
  return rules.length;
}

/**
 * The rules of one CNI network in `iptables -S POSTROUTING`, in its order. By what they say and not by
 * their numbers: another installation may change its own meanwhile. Pure.
 */
export function masqueradeRules(
  listing: string,
  network: string,
): readonly { readonly rule: readonly string[]; readonly chain: string }[] {
  return listing.split("\n").flatMap((line) => {
    const [, source, comment, chain] = CNI_RULE.exec(line) ?? [];
    if (source === undefined || comment === undefined || chain === undefined) return [];
    const said = comment.replaceAll('\\"', '"');
    if (!said.startsWith(`name: "${network}" `)) return [];
    const rule = ["-s", source, "-m", "comment", "--comment", said, "-j", chain];
    return [{ rule, chain }];
  });
}

const CNI_RULE =
  /^-A POSTROUTING -s (\S+) -m comment --comment "((?:[^"\\]|\\.)*)" -j (CNI-[0-9a-f]+)$/;

type Link = { readonly ifname: string; readonly master?: string };

function linkNames(json: string): readonly Link[] {
  return (JSON.parse(json) as readonly Link[]).map(({ ifname, master }) => ({
    // A veth is listed as name@peer by some versions.
    ifname: ifname.split("@")[0] ?? ifname,
    ...(master !== undefined && { master }),
  }));
}
