import type { DnsConfig } from "../runtime/cri-config.ts";

/**
 * What a pod's resolver needs of the host's, or undefined where nothing of it can be reached from a
 * pod: a server on the host's loopback is none there. Pure.
 */
export function dnsConfig(resolvConf: string): DnsConfig | undefined {
  const values = (keyword: string) =>
    resolvConf
      .split("\n")
      .map((line) => line.trim().split(/\s+/))
      .filter(([first]) => first === keyword)
      .map(([, ...rest]) => rest);
  const servers = values("nameserver")
    .map(([server]) => server)
    .filter((it) => it !== undefined && !it.startsWith("127.") && it !== "::1") as string[];
  if (servers.length === 0) return undefined;
  return {
    servers: servers.slice(0, 3),
    searches: values("search").at(-1) ?? [],
    options: values("options").flat(),
  };
}
