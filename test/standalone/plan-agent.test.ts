import { describe, expect, test } from "vitest";
import { assembleHost } from "../../standalone/agent/assemble.ts";
import { type HostOptions, readAsked } from "../../standalone/agent/env.ts";
import { chooseHost, type Host } from "../../standalone/agent/host.ts";
import { isFinal } from "../../standalone/agent/joined.ts";
import { placesOf } from "../../standalone/places.ts";

const host: Host = { id: "0123abcd", api: "https://api.example", httpPort: 8080 };

function asked(args: readonly string[], variables: Record<string, string> = {}): HostOptions {
  const read = readAsked(args, variables);
  if (!("command" in read)) throw new Error(read.join(" "));
  return read.options;
}

describe("what is typed", () => {
  test("all that is wrong is named at once, each by the name that was used", () => {
    const args = ["--api", "ftp://x", "--bogus", "go", "--address", "127.0.0.1", "--join"];

    expect(readAsked(args, { WAYBILL_HTTP_PORT: "eighty", WAYBILL_NODE_CPU: "many" })).toEqual([
      "There is no option --bogus.",
      "--join needs a value.",
      '"go" is no command.',
      "WAYBILL_HTTP_PORT must be a port number.",
      'WAYBILL_NODE_CPU must be a number of cores such as "2" or "500m".',
      "--address must be an IP address that other hosts reach.",
      "--api must be a URL that starts with http:// or https://.",
    ]);
  });

  test("a flag goes before its variable, and an empty variable counts as unset", () => {
    const variables = {
      WAYBILL_API_URL: "http://a",
      WAYBILL_JOIN_TOKEN: "",
      WAYBILL_DATA_DIR: "/d",
    };

    expect(asked(["--api", "http://b/"], variables)).toMatchObject({
      api: "http://b",
      joinToken: undefined,
      dataDir: "/d",
    });
  });

  test.each([
    [["--help"], "help"],
    [["down", "-h"], "help"],
    [["down", "--data-dir", "/d"], "down"],
    [[], "run"],
  ])("%j is %s", (args, command) => {
    expect(readAsked(args, {})).toMatchObject({ command });
  });
});

describe("which api a host works for", () => {
  test("a new host is told both things that it lacks", () => {
    expect(chooseHost(asked([]), undefined)).toEqual([
      "Say where the api is, with --api URL.",
      "This host has not joined yet: give it a token with --join TOKEN.",
    ]);
  });

  test("a host that has joined needs to be told nothing, and keeps what was said before", () => {
    const kept = { ...host, httpPort: 80, address: "192.0.2.7" };

    expect(chooseHost(asked([]), kept)).toEqual(kept);
    expect(chooseHost(asked(["--http-port", "81"]), kept)).toEqual({ ...kept, httpPort: 81 });
  });

  test("a host does not change over to another api without a token of that one", () => {
    const elsewhere = ["--api", "https://other.example"];

    expect(chooseHost(asked(elsewhere), host)).toEqual([
      "This host has joined https://api.example: to join https://other.example, give a token with --join TOKEN.",
    ]);
    expect(chooseHost(asked([...elsewhere, "--join", "t"]), host)).toMatchObject({
      id: host.id,
      api: "https://other.example",
    });
  });
});

test("a refused token ends the waiting; an api that is away or busy does not", () => {
  expect(isFinal("the api answered 401 to the join token")).toBe(true);
  expect(isFinal("the api answered 503 to the join token")).toBe(false);
  expect(isFinal("the api cannot be asked: connect ECONNREFUSED 192.0.2.1:7070")).toBe(false);
  expect(isFinal(undefined)).toBe(false);
});

describe("a node's parts", () => {
  const around = { root: "/opt/waybill", nodeBinary: "/opt/node", handlers: [] };
  const assembled = (said: Host, args: readonly string[] = []) =>
    assembleHost(said, asked(args), placesOf("/d", said.id), around);

  test("give pods addresses of the range that the api chose", () => {
    const { files } = assembled(host).containerd("10.64.9.0/24");

    const network = files.find(({ path }) => path.endsWith(".conflist"))?.text ?? "";
    expect(JSON.parse(network).plugins[0].ipam.ranges).toEqual([[{ subnet: "10.64.9.0/24" }]]);
  });

  test("are the same at a start that is told nothing, so that it takes them over", () => {
    const first = assembled(host, ["--api", host.api, "--join", "t"]);
    const later = assembled(host);

    expect(later.containerd("10.64.9.0/24")).toEqual(first.containerd("10.64.9.0/24"));
    expect([later.router, later.front]).toEqual([first.router, first.front]);
  });

  test("tell the agent the api, the address that was given, and no token", () => {
    const { env } = assembled({ ...host, address: "192.0.2.7" }, ["--join", "secret"]).nodeAgent;

    expect(env).toMatchObject({
      WAYBILL_API_URL: "https://api.example",
      WAYBILL_NODE_ADDRESS: "192.0.2.7",
      WAYBILL_CGROUP_PARENT: "/waybill-0123abcd",
    });
    expect(JSON.stringify(env)).not.toContain("secret");
    expect(assembled(host).nodeAgent.env).not.toHaveProperty("WAYBILL_NODE_ADDRESS");
  });
});
