import { readFileSync } from "node:fs";
import { type NetworkInterfaceInfo, networkInterfaces } from "node:os";

type Interfaces = Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>;

/** An address of this host that pods can reach: where its default route goes out, else any but loopback. */
export function hostIp(): string {
  return reachableIp(readFileSync("/proc/net/route", "utf8"), networkInterfaces());
}

/** `routes` is /proc/net/route: a table with a heading, the default route's destination being zeros. Pure. */
export function reachableIp(routes: string, interfaces: Interfaces): string {
  const out = routes
    .split("\n")
    .slice(1)
    .map((line) => line.split("\t"))
    .find(([, destination]) => destination === "00000000")?.[0];
  const ofDefault = out === undefined ? [] : (interfaces[out] ?? []);
  const others = Object.values(interfaces).flatMap((it) => it ?? []);
  const found = [...ofDefault, ...others].find((it) => it.family === "IPv4" && !it.internal);
  return found?.address ?? "127.0.0.1";
}
