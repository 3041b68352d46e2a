import { z } from "zod";
import { NODE_PORTS } from "../node/node-ports.ts";

/*
 * What of the host an operator lets pods use: the plain form of the policy. The api asks it when an
 * app is declared, and the agent asks it again, since it is the agent's host.
 */

export type PortRange = { readonly from: number; readonly to: number };
export type HostPolicy = {
  /** Prefixes that a hostPath may lie under; normal paths. */
  readonly paths: readonly string[];
  /** Ports that a hostPort may be. */
  readonly ports: readonly PortRange[];
};

/** `WAYBILL_HOST_PATHS`: absolute paths, separated by commas; nothing allows nothing. */
export const HostPathPrefixes = z
  .string()
  .default("")
  .transform((text, context) =>
    entriesOf(text).flatMap((entry) => {
      const path = normalPath(entry);
      if (path !== undefined) return [path];
      context.addIssue(`"${entry}" is not an absolute path without ".."`);
      return [];
    }),
  );

/** `WAYBILL_HOST_PORTS`: ports and ranges such as "8443,9000-9100", none of a node's own; nothing allows nothing. */
export const HostPortRanges = z
  .string()
  .default("")
  .transform((text, context) =>
    entriesOf(text).flatMap((entry): PortRange[] => {
      const [, from = "", to = from] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(entry) ?? [];
      const range = { from: Number(from), to: Number(to) };
      const isRange =
        from !== "" && range.from >= 1 && range.to <= 65_535 && range.from <= range.to;
      if (isRange && !holdsNodePorts(range)) return [range];
      context.addIssue(`"${entry}" ${isRange ? HOLDS_NODE_PORTS : NO_RANGE}`);
      return [];
    }),
  );

const NO_RANGE = "is not a port or a range of ports such as 9000-9100";
const HOLDS_NODE_PORTS = `holds ports from ${NODE_PORTS.first} to ${NODE_PORTS.last}, where nodes take requests from one another`;

/** A pod's host port goes before whoever listens there: such a node would be cut off from the others. */
function holdsNodePorts({ from, to }: PortRange): boolean {
  return from <= NODE_PORTS.last && to >= NODE_PORTS.first;
}

/** Whether `path` is one of the prefixes or lies below one, by whole segments: "/data" is not above "/database". */
export function hostPathAllowed(prefixes: readonly string[], path: string): boolean {
  const normal = normalPath(path);
  if (normal === undefined) return false;
  return prefixes.some(
    (prefix) => prefix === "/" || normal === prefix || normal.startsWith(`${prefix}/`),
  );
}

export function hostPortAllowed(ranges: readonly PortRange[], port: number): boolean {
  return ranges.some(({ from, to }) => from <= port && port <= to);
}

/** "/a//b/./" is "/a/b"; undefined for what is not absolute or goes up. */
export function normalPath(path: string): string | undefined {
  if (!path.startsWith("/")) return undefined;
  const segments = path.split("/").filter((it) => it !== "" && it !== ".");
  return segments.includes("..") ? undefined : `/${segments.join("/")}`;
}

function entriesOf(text: string): readonly string[] {
  return text
    .split(",")
    .map((it) => it.trim())
    .filter((it) => it !== "");
}
