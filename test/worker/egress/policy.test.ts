import { expect, test } from "vitest";
import { addressKind } from "../../../worker/egress/address.ts";
import { mayAsk, mayConnect, parseAllowed, type Reach } from "../../../worker/egress/policy.ts";

const nothing = parseAllowed("") ?? expect.fail();

test.each([
  ["93.184.216.34", "public"],
  ["2606:2800:220:1::1", "public"],
  ["127.0.0.1", "loopback"],
  ["127.255.255.254", "loopback"],
  ["::1", "loopback"],
  ["10.1.2.3", "private"],
  ["172.16.0.1", "private"],
  ["172.31.255.255", "private"],
  ["172.32.0.1", "public"],
  ["192.168.1.1", "private"],
  ["100.64.0.1", "private"],
  ["198.18.0.1", "private"],
  ["203.0.113.9", "private"],
  ["fc00::1", "private"],
  ["fd12:3456::1", "private"],
  ["::ffff:127.0.0.1", "loopback"],
  ["::ffff:10.0.0.1", "private"],
  ["::ffff:8.8.8.8", "private"],
  ["64:ff9b::7f00:1", "private"],
  ["2002:7f00:1::", "private"],
  ["2001:0:7f00:1::1", "private"],
  ["2001:db8::1", "private"],
  ["2606:4700::5efe:7f00:1", "private"],
  ["2606:4700::200:5efe:7f00:1", "private"],
  ["0.0.0.0", "never"],
  ["169.254.169.254", "never"],
  ["::ffff:169.254.169.254", "never"],
  ["fe80::1", "never"],
  ["::", "never"],
  ["224.0.0.1", "never"],
  ["255.255.255.255", "never"],
  ["ff02::1", "never"],
  ["fd00:ec2::254", "never"],
  ["not an address", "never"],
])("%s is %s", (address, kind) => {
  expect(addressKind(address)).toBe(kind);
});

test.each<[string, Reach, boolean]>([
  ["https://registry.example.com/v2/", "outside", true],
  ["https://registry.example.com:5000/v2/", "outside", true],
  ["http://registry.example.com/v2/", "outside", false],
  ["https://registry.example.com:22/v2/", "outside", false],
  ["https://user:word@registry.example.com/v2/", "outside", false],
  ["ftp://registry.example.com/", "outside", false],
  ["file:///etc/passwd", "outside", false],
  ["https://localhost/", "outside", false],
  ["https://localhost./", "outside", false],
  ["https://a.localhost/", "outside", false],
  ["http://localhost:5000/v2/", "this-machine", true],
  ["http://127.0.0.1/v2/", "this-machine", true],
  ["http://127.0.0.1:25/v2/", "this-machine", false],
])("%s %s may be asked: %s", (url, reach, ok) => {
  expect(mayAsk(new URL(url), reach).ok).toBe(ok);
});

test.each<[readonly string[], Reach, string, boolean]>([
  [["93.184.216.34"], "outside", "", true],
  [["93.184.216.34", "10.0.0.1"], "outside", "", false],
  [["10.0.0.1"], "outside", "", false],
  [["10.0.0.1"], "outside", "10.0.0.0/8", true],
  [["10.0.0.1"], "outside", "10.0.0.1", true],
  [["10.0.0.1"], "outside", "registry.example.com", true],
  [["10.0.0.1"], "outside", "example.com", false],
  [["10.0.0.1"], "outside", "192.168.0.0/16,other.example.com", false],
  [["127.0.0.1"], "outside", "", false],
  [["127.0.0.1"], "outside", "registry.example.com", true],
  [["169.254.169.254"], "outside", "169.254.0.0/16,registry.example.com", false],
  [[], "outside", "", false],
  [["127.0.0.1", "::1"], "this-machine", "", true],
  [["127.0.0.1", "93.184.216.34"], "this-machine", "", false],
])("addresses %j, %s, with %j allowed: %s", (addresses, reach, allowed, ok) => {
  const policy = parseAllowed(allowed) ?? expect.fail();

  expect(mayConnect(policy, "Registry.example.com", addresses, reach).ok).toBe(ok);
});

test.each(["10.0.0.0/99", "a b", "https://registry.example.com", "-x", "10.0.0.0/"])(
  "an operator's list with %j is refused",
  (text) => {
    expect(parseAllowed(`registry.example.com,${text}`)).toBeUndefined();
  },
);

test("a refusal says what an operator can do", () => {
  const verdict = mayConnect(nothing, "registry.internal", ["10.0.0.1"], "outside");

  expect(verdict).toMatchObject({ because: expect.stringContaining("WAYBILL_REGISTRIES_ALLOWED") });
});
