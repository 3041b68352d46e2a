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

test.each(["data", "./data", "/a/../b"])("%j is no prefix: the operator is told", (text) => {
  expect(HostPathPrefixes.safeParse(text).error?.issues[0]?.message).toContain(`"${text}"`);
});
