import { expect, test } from "vitest";
import { NODE_PORTS } from "../../contract/node/node-ports.ts";
import { freePodCidr, overlapping, parseCidr } from "../../standalone/cidr.ts";
import { apiUrl, readClientEnv, readSettings } from "../../standalone/env.ts";
import { mountsUnder } from "../../standalone/mounts.ts";
import { masqueradeRules } from "../../standalone/network.ts";
import { placesOf } from "../../standalone/places.ts";
import { NODE_PORTS as ofStandalone } from "../../standalone/ports.ts";
import { welcome } from "../../standalone/welcome.ts";

const taken = (...texts: string[]) => texts.map(parseCidr).filter((cidr) => cidr !== undefined);

test("pods get a network that the machine has no route to", () => {
  const nets = taken("10.64.0.0/23", "default", "192.168.0.0/16", "10.64.2.1");

  expect(freePodCidr([], () => 0)).toBe("10.64.0.0/24");
  expect(freePodCidr(nets, () => 0)).toBe("10.64.3.0/24");
  expect(freePodCidr(taken("10.127.255.0/24"), (below) => below - 1)).toBe("10.64.0.0/24");
  expect(() => freePodCidr(taken("10.0.0.0/8"), () => 5)).toThrow("in use");
});

test("a network that shares addresses with the pods' is named", () => {
  const networks = ["10.64.0.0/16", "10.65.0.0/16", "10.64.7.9", "fe80::/64"];

  expect(overlapping("10.64.7.0/24", networks)).toEqual(["10.64.0.0/16", "10.64.7.9"]);
});

test("an empty variable counts as unset, and every bad one is named at once", () => {
  expect(readSettings({ WAYBILL_API_PORT: "", WAYBILL_DATA_DIR: "/a/../b" })).toMatchObject({
    apiPort: 7070,
    httpPort: 8080,
    dataDir: "/b",
  });
  expect(() =>
    readSettings({
      WAYBILL_API_PORT: "70000",
      WAYBILL_HTTP_PORT: "eighty",
      DATABASE_URL: "mysql://x",
      WAYBILL_MAX_ARTIFACT: "huge",
    }),
  ).toThrow(
    /WAYBILL_API_PORT.*WAYBILL_HTTP_PORT.*DATABASE_URL: must be a URL.*WAYBILL_MAX_ARTIFACT/,
  );
  expect(() =>
    readSettings({
      WAYBILL_HOST_PATHS: "/data, srv",
      WAYBILL_HOST_PORTS: "http",
      WAYBILL_REGISTRIES_ALLOWED: "registry.corp.example 10.0.0.0/8",
    }),
  ).toThrow(/WAYBILL_HOST_PATHS.*WAYBILL_HOST_PORTS.*WAYBILL_REGISTRIES_ALLOWED/);
  expect(() => readSettings({ WAYBILL_HTTP_PORT: "7070" })).toThrow("must differ");
  expect(() => readSettings({ WAYBILL_DATA_DIR: "/srv/a:b" })).toThrow("no colon");
});

test.each([
  { WAYBILL_HTTP_PORT: "31000" },
  { WAYBILL_API_PORT: "32767" },
  { WAYBILL_HOST_PORTS: "8443, 30000-31000" },
])("a port where nodes take each other's requests is nothing else's: %j", (said) => {
  expect(() => readSettings(said)).toThrow(
    new RegExp(`${Object.keys(said)[0]}.* ${NODE_PORTS.first} to ${NODE_PORTS.last}`),
  );
});

test("which ports those are is known on both sides of the process line", () => {
  expect(ofStandalone).toEqual(NODE_PORTS);
});

test("lists of what pods may use are taken as they are", () => {
  const lists = {
    WAYBILL_HOST_PATHS: "/data, /srv/a b,",
    WAYBILL_HOST_PORTS: "8443, 9000-9100",
    WAYBILL_REGISTRIES_ALLOWED: "registry.corp.example,10.1.0.0/16, ::1, fd00::/8",
  };

  expect(readSettings(lists)).toMatchObject({
    hostPaths: lists.WAYBILL_HOST_PATHS,
    hostPorts: lists.WAYBILL_HOST_PORTS,
    registriesAllowed: lists.WAYBILL_REGISTRIES_ALLOWED,
  });
});

test("an api that listens everywhere is reached on loopback", () => {
  expect(apiUrl({ apiHost: "0.0.0.0", apiPort: 1 })).toBe("http://127.0.0.1:1");
  expect(apiUrl({ apiHost: "::", apiPort: 2 })).toBe("http://[::1]:2");
  expect(apiUrl({ apiHost: "192.0.2.7", apiPort: 3 })).toBe("http://192.0.2.7:3");
});

test("mounts come off in the reverse order, and only those of our folders", () => {
  const mountinfo = [
    "27 1 254:0 / / rw - ext4 /dev/vda rw",
    "64 27 254:0 /x /run/waybill-1/a rw - ext4 /dev/vda rw",
    "65 64 0:9 / /run/waybill-1/a/b\\040c rw - tmpfs none rw",
    "66 27 0:9 / /run/waybill-12 rw - tmpfs none rw",
    "",
  ].join("\n");

  expect(mountsUnder(mountinfo, ["/run/waybill-1"])).toEqual([
    "/run/waybill-1/a/b c",
    "/run/waybill-1/a",
  ]);
});

test("only the address translation of this installation's network is found", () => {
  const listing = String.raw`-P POSTROUTING ACCEPT
-A POSTROUTING -s 172.17.0.0/16 -j MASQUERADE
-A POSTROUTING -s 10.64.1.2/32 -m comment --comment "name: \"waybill-00000001\" id: \"x\"" -j CNI-0af1
-A POSTROUTING -s 10.64.2.2/32 -m comment --comment "name: \"waybill-00000002\" id: \"y\"" -j CNI-77bb`;

  const comment = 'name: "waybill-00000001" id: "x"';
  const rule = ["-s", "10.64.1.2/32", "-m", "comment", "--comment", comment, "-j", "CNI-0af1"];
  expect(masqueradeRules(listing, "waybill-00000001")).toEqual([{ rule, chain: "CNI-0af1" }]);
});

test("the commands to try can be pasted, whatever the folder is called", () => {
  const settings = readSettings({ WAYBILL_HTTP_PORT: "80" });
  const text = welcome(settings, placesOf("/srv/it's here", "00000001"), "/opt/waybill");

  expect(text).toContain(
    `curl -T /opt/waybill/examples/hello-war/hello.war -H "Authorization: Bearer $(cat '/srv/it'\\''s here/admin.token')" "http://127.0.0.1:7070/v1/apps/hello/war?wait=healthy&timeout=180"`,
  );
  expect(text).toContain("curl http://hello.localhost/\n");
});

test("a client finds the api where npm start put it, unless it is told where", () => {
  expect(readClientEnv({ WAYBILL_API_PORT: "7171", WAYBILL_API_HOST: "0.0.0.0" })).toMatchObject({
    url: "http://127.0.0.1:7171",
    dataDir: "/var/lib/waybill",
  });
  expect(readClientEnv({ WAYBILL_URL: "https://waybill.example.com" })).toMatchObject({
    url: "https://waybill.example.com",
  });
});
