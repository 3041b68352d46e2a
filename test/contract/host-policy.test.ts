import { expect, test } from "vitest";
import {
  HostPathPrefixes,
  HostPortRanges,
  hostPathAllowed,
  hostPortAllowed,
} from "../../contract/pod/host-policy.ts";

test.each([
  ["/data", "/data", true],
  ["/data", "/data/", true],
  ["/data/", "/data/a/b", true],
  ["/srv,/data", "/data//a", true],
  ["/", "/etc", true],
  ["/data", "/database", false],
  ["/data", "/data/../etc", false],
  ["/data", "/etc", false],
  ["/data/a", "/data", false],
  ["/data", "data", false],
  ["", "/data", false],
])("with %j allowed, %j is %j", (prefixes, path, allowed) => {
  expect(hostPathAllowed(HostPathPrefixes.parse(prefixes), path)).toBe(allowed);
});

test("host ports are allowed one by one or by range; none by default", () => {
  const ranges = HostPortRanges.parse("8443, 9000-9100");

  const asked = [8443, 9000, 9100, 8442, 8444, 8999, 9101];
  expect(asked.filter((port) => hostPortAllowed(ranges, port))).toEqual([8443, 9000, 9100]);
  expect(HostPortRanges.parse(undefined)).toEqual([]);
  expect(HostPathPrefixes.parse(undefined)).toEqual([]);
});

test.each(["x", "0", "70000", "9-8", "80-", "-80", "1.5", "80 90"])(
  "%j allows no ports: the operator is told",
  (text) => {
    expect(HostPortRanges.safeParse(text).error?.issues[0]?.message).toContain(`"${text}"`);
  },
);

test.each(["31000", "32767", "30000-31000", "1-65535", "8443, 32000-33000"])(
  "%j would take ports from a node's ingress: the operator is told",
  (text) => {
    expect(HostPortRanges.safeParse(text).error?.issues[0]?.message).toContain("31000 to 32767");
  },
);

test("the ports beside those of nodes are as good as any", () => {
  expect(HostPortRanges.parse("30999,32768-33000")).toHaveLength(2);
});

test.each(["data", "./data", "/a/../b"])("%j is no prefix: the operator is told", (text) => {
  expect(HostPathPrefixes.safeParse(text).error?.issues[0]?.message).toContain(`"${text}"`);
});
