import { expect, test } from "vitest";
import {
  freePodRange,
  JoinTokenRequest,
  POD_RANGES,
  PodRange,
  reachableAddress,
} from "../../contract/node/host.ts";

test("each search for a range begins at one of its own, goes round and ends where none is left", () => {
  const none = new Set<string>();
  const numbers = Array.from({ length: POD_RANGES }, (_, at) => at);
  const all = new Set(numbers.map((start) => freePodRange(none, start) ?? ""));

  expect(all.size).toBe(64 * 256);
  expect([...all].every((it) => PodRange.safeParse(it).success)).toBe(true);
  expect(freePodRange(all, 5)).toBeUndefined();
  all.delete("10.64.0.0/24");
  expect(freePodRange(all, 9)).toBe("10.64.0.0/24");
});

test.each(["10.1.2.0/24", "10.255.255.0/24"])("%s is a range", (text) => {
  expect(PodRange.safeParse(text).success).toBe(true);
});

test.each(["10.1.2.3/24", "10.256.0.0/24", "10.01.2.0/24", "192.168.1.0/24", "10.1.2.0/16", ""])(
  "%j is no range",
  (text) => {
    expect(PodRange.safeParse(text).success).toBe(false);
  },
);

test.each([
  ["192.0.2.7", "192.0.2.7"],
  ["::ffff:192.0.2.7", "192.0.2.7"],
  ["2001:DB8:0:0::7", "2001:db8::7"],
  ["fd00::1", "fd00::1"],
])("%s is reached at %s", (text, address) => {
  expect(reachableAddress(text)).toBe(address);
});

test.each([
  "127.0.0.1",
  "0.0.0.0",
  "169.254.169.254",
  "224.0.0.1",
  "255.255.255.255",
  "::",
  "::1",
  "::ffff:127.0.0.1",
  "::ffff:7f00:1",
  "fe80::1",
  "ff02::1",
  "fe80::1%eth0",
  "192.0.2.7:80",
  "192.0.2",
  "010.0.0.1",
  "a.example",
  "",
])("no other host reaches %j", (text) => {
  expect(reachableAddress(text)).toBeUndefined();
});

test("a join token lives for 15 minutes, or as long as is said up to an hour", () => {
  const life = (said: object) => JoinTokenRequest.safeParse(said).data?.expiresIn;

  expect(life({})).toBe("15m");
  expect(life({ expiresIn: "1h" })).toBe("1h");
  expect(life({ expiresIn: "61m" })).toBeUndefined();
  expect(life({ expiresIn: "0s" })).toBeUndefined();
});
