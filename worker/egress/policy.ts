import { BlockList, isIP } from "node:net";
import { addCidr, addressKind } from "./address.ts";

/**
 * Where requests to the outside may go. `hosts` and `networks` are what the operator allows beyond
 * the public Internet.
 */
export type EgressPolicy = {
  readonly hosts: ReadonlySet<string>;
  readonly networks: BlockList;
};

/** Where a request is meant to go; a redirect never leads from the outside to this machine. */
export type Reach = "outside" | "this-machine";

export type Verdict = { readonly ok: true } | { readonly ok: false; readonly because: string };

/** The operator's list: hosts and CIDRs, separated by commas. Undefined when an entry is neither. */
export function parseAllowed(text: string): EgressPolicy | undefined {
  const hosts = new Set<string>();
  const networks = new BlockList();
  for (const entry of text.split(",").map((it) => it.trim().toLowerCase())) {
    if (entry === "" || addCidr(networks, entry)) continue;
    if (isIP(entry) !== 0) addCidr(networks, `${entry}/${isIP(entry) === 6 ? 128 : 32}`);
    else if (HOST.test(entry)) hosts.add(entry);
    else return undefined;
  }
  return { hosts, networks };
}

const HOST = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

/** Whether a URL may be asked at all, before its host is resolved. */
export function mayAsk(url: URL, reach: Reach): Verdict {
  if (url.username !== "" || url.password !== "") return refused("its address holds a password");
  const schemes = reach === "outside" ? ["https:"] : ["https:", "http:"];
  if (!schemes.includes(url.protocol)) {
    return refused(`${url.protocol.slice(0, -1)} is not spoken to it`);
  }
  const port = Number(url.port || (url.protocol === "https:" ? 443 : 80));
  const known = port === 443 || port >= 1_024 || (reach === "this-machine" && port === 80);
  if (!known) return refused(`port ${port} is not one of a registry`);
  if (reach === "outside" && isLocalName(url.hostname)) {
    return refused("its name stands for this machine");
  }
  return { ok: true };
}

/**
 * Whether `host`, which has these addresses, may be connected to: every one of them must be fit, so
 * that a name with a public and a private one finds no way round.
 */
export function mayConnect(
  policy: EgressPolicy,
  host: string,
  addresses: readonly string[],
  reach: Reach,
): Verdict {
  if (addresses.length === 0) return refused("its name has no address");
  const unfit = addresses.find((it) => !isFit(policy, host, it, reach));
  if (unfit === undefined) return { ok: true };
  return refused(
    reach === "this-machine"
      ? `its name leads away from this machine, to ${unfit}`
      : `its address ${unfit} is not public; an operator may allow it by WAYBILL_REGISTRIES_ALLOWED`,
  );
}

function isFit(policy: EgressPolicy, host: string, address: string, reach: Reach): boolean {
  const kind = addressKind(address);
  if (kind === "never") return false;
  if (reach === "this-machine") return kind === "loopback";
  if (kind === "public" || policy.hosts.has(host.toLowerCase())) return true;
  return policy.networks.check(address, isIP(address) === 6 ? "ipv6" : "ipv4");
}

/** "localhost", what is below it, and both with a dot at the end. */
function isLocalName(host: string): boolean {
  return /^(.*\.)?localhost\.?$/i.test(host);
}

function refused(because: string): Verdict {
  return { ok: false, because };
}
