import { readFileSync } from "node:fs";
import type { DnsConfig } from "../runtime/cri-config.ts";

/** Where systemd-resolved answers on the host's loopback, the second tells which servers it asks. */
const RESOLV_CONFS = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"] as const;

/** What a pod's resolver needs of the first file that names a server which pods can reach. */
export function hostDns(files: readonly string[] = RESOLV_CONFS): DnsConfig | undefined {
  for (const file of files) {
    const found = dnsConfig(textOf(file));
    if (found) return found;
  }
  return undefined;
}

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

function textOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return "";
    throw error;
  }
}
