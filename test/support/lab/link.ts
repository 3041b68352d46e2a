import { type Namespace, runWithin } from "./namespace.ts";

/** The cable between a host and all others: what a test does to it stays, also over a reboot, until it is healed. */
export type Link = {
  /** What would go there is lost, and nobody is told: as beyond a router that is down. */
  cut(cut?: Cut): Promise<void>;
  /** So narrow that requests queue up before it, up to two seconds of them; what is too much is lost. */
  slow(kilobitsPerSecond: number): Promise<void>;
  heal(): Promise<void>;
  /** Does the same to new ends of it. */
  renew(): Promise<void>;
};

export type Cut = {
  /** "in": the host hears nobody; "out": nobody hears it. Both, where it is not said. */
  readonly way?: "in" | "out";
  /** Only what comes from or goes to this address. */
  readonly peer?: string;
};

type Weather = { readonly cuts: readonly Cut[]; readonly kilobits: number | undefined };

const FAIR: Weather = { cuts: [], kilobits: undefined };
const IPTABLES = "/usr/sbin/iptables";
const TC = "/usr/sbin/tc";
/** One whole packet has to fit. */
const BURST = "4kb";

/**
 * Both directions of a cut are made at the host's end, before any rule of its own. Slowness is a
 * bucket of tokens at either end (tbf): small kernels lack netem, which could make delays of other kinds.
 */
export function openLink(ends: {
  readonly host: Namespace;
  readonly lan: Namespace;
  readonly port: string;
}): Link {
  const { host, lan, port } = ends;
  let weather = FAIR;

  async function become(next: Weather): Promise<void> {
    const before = weather;
    weather = next;
    for (const chain of ["PREROUTING", "POSTROUTING"])
      await runWithin(host, IPTABLES, [...MANGLE, "-F", chain]);
    for (const cut of next.cuts) {
      for (const rule of rulesOf(cut)) await runWithin(host, IPTABLES, [...MANGLE, ...rule]);
    }
    await narrow(host, UPLINK, before.kilobits, next.kilobits);
    await narrow(lan, port, before.kilobits, next.kilobits);
  }

  return {
    cut: (cut = {}) => become({ ...weather, cuts: [...weather.cuts, cut] }),
    slow: (kilobits) => become({ ...weather, kilobits }),
    heal: () => become(FAIR),
    async renew() {
      const kept = weather;
      weather = FAIR;
      await become(kept);
    },
  };
}

/** What a host calls its own end of the cable. */
export const UPLINK = "up0";
const MANGLE = ["-w", "10", "-t", "mangle"];

function rulesOf({ way, peer }: Cut): readonly (readonly string[])[] {
  const only = (flag: string) => (peer === undefined ? [] : [flag, peer]);
  const hears = ["-A", "PREROUTING", "-i", UPLINK, ...only("-s"), "-j", "DROP"];
  const speaks = ["-A", "POSTROUTING", "-o", UPLINK, ...only("-d"), "-j", "DROP"];
  return [...(way === "out" ? [] : [hears]), ...(way === "in" ? [] : [speaks])];
}

async function narrow(
  where: Namespace,
  device: string,
  before: number | undefined,
  after: number | undefined,
): Promise<void> {
  if (before === after) return;
  if (after === undefined) {
    await runWithin(where, TC, ["qdisc", "del", "dev", device, "root"]);
  } else {
    const bucket = ["tbf", "rate", `${after}kbit`, "burst", BURST, "latency", "2s"];
    await runWithin(where, TC, ["qdisc", "replace", "dev", device, "root", ...bucket]);
  }
}
