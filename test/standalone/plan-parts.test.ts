import { describe, expect, test } from "vitest";
import { assemble } from "../../standalone/assemble.ts";
import { readSettings } from "../../standalone/env.ts";
import type { Installation } from "../../standalone/installation.ts";
import { placesOf } from "../../standalone/places.ts";

const installation: Installation = {
  id: "0123abcd",
  ports: { postgres: 20_001, redis: 20_002, registry: 20_003 },
  passwords: { postgres: "pg-secret", redis: "redis-secret" },
  registrySecret: "http-secret",
  podCidr: "10.64.7.0/24",
};
const around = {
  root: "/opt/waybill",
  nodeBinary: "/opt/node",
  handlers: [],
  postgresBin: "/usr/lib/postgresql/15/bin",
  homes: { postgres: "/d/postgres", redis: "/d/redis", registry: "/d/registry" },
};

function assembled(variables: Record<string, string> = {}) {
  const settings = readSettings({ WAYBILL_DATA_DIR: "/d", ...variables });
  return assemble(settings, installation, placesOf("/d", installation.id), around);
}
const named = (name: string, variables: Record<string, string> = {}) => {
  const { foundation, front, api, worker, nodeAgent } = assembled(variables);
  const part = [...foundation, front, api, worker, nodeAgent].find((it) => it.name === name);
  if (part === undefined) throw new Error(`no part ${name}`);
  return part;
};
const words = (name: string) => [named(name).program, ...named(name).argv].join(" ");

describe("the stores", () => {
  test("run as their own users, on loopback ports of the installation", () => {
    expect(words("postgres")).toContain(
      "/usr/bin/setpriv --reuid=postgres --regid=postgres --init-groups --no-new-privs -- /usr/lib/postgresql/15/bin/postgres -D /d/postgres/cluster -c listen_addresses=127.0.0.1 -c port=20001 -c unix_socket_directories= ",
    );
    expect(words("redis")).toBe(
      "/usr/bin/setpriv --reuid=redis --regid=redis --init-groups --no-new-privs -- /usr/bin/redis-server /d/redis/redis.conf",
    );
    expect(words("registry")).toBe(
      "/usr/bin/setpriv --reuid=docker-registry --regid=docker-registry --init-groups --no-new-privs -- /usr/bin/docker-registry serve /d/registry/config.yml",
    );
  });

  test("keep what they are given: PostgreSQL syncs, Redis appends and refuses rather than forgets", () => {
    expect(named("postgres").argv).toContain("fsync=on");
    expect(named("redis").files[0]?.text.split("\n")).toEqual(
      expect.arrayContaining(["appendonly yes", "maxmemory-policy noeviction", "port 20002"]),
    );
  });

  test("the registry deletes when asked, and caches nothing that outlives a deletion", () => {
    expect(JSON.parse(named("registry").files[0]?.text ?? "")).toEqual({
      version: "0.1",
      log: { level: "error", accesslog: { disabled: true } },
      storage: { filesystem: { rootdirectory: "/d/registry/storage" }, delete: { enabled: true } },
      http: { addr: "127.0.0.1:20003", secret: "http-secret", draintimeout: "5s" },
    });
  });
});

test("no password stands in a command line, where every user of the machine could read it", () => {
  const { foundation, api, worker, nodeAgent } = assembled();

  for (const part of [...foundation, api, worker, nodeAgent]) {
    expect(part.argv.join(" ")).not.toMatch(/secret/);
  }
});

test("our programs are told exactly what the contract names", () => {
  expect(named("api").env).toEqual({
    NODE_COMPILE_CACHE: "/d/cache",
    MALLOC_ARENA_MAX: "1",
    DATABASE_URL: "postgres://waybill:pg-secret@127.0.0.1:20001/waybill",
    REGISTRY_URL: "http://127.0.0.1:20003",
    WAYBILL_API_HOST: "127.0.0.1",
    WAYBILL_API_PORT: "7070",
    WAYBILL_HTTP_PORT: "8080",
    WAYBILL_APPS_DOMAIN: "localhost",
    WAYBILL_MAX_ARTIFACT: "1Gi",
    WAYBILL_SECRETS_KEY_FILE: "/d/secrets.key",
  });
  expect(named("worker").env).toEqual({
    NODE_COMPILE_CACHE: "/d/cache",
    MALLOC_ARENA_MAX: "1",
    DATABASE_URL: "postgres://waybill:pg-secret@127.0.0.1:20001/waybill",
    REDIS_URL: "redis://:redis-secret@127.0.0.1:20002/0",
    REGISTRY_URL: "http://127.0.0.1:20003",
    WAYBILL_API_HOST: "127.0.0.1",
    WAYBILL_API_PORT: "7070",
    WAYBILL_APPS_DOMAIN: "localhost",
    WAYBILL_HTTP_PORT: "8080",
    WAYBILL_WORK_DIR: "/d/worker",
    WAYBILL_QUEUE_PREFIX: "0123abcd",
  });
  expect(
    named("node-agent", { WAYBILL_NODE_CPU: "2", WAYBILL_NODE_ADDRESS: "192.0.2.1" }).env,
  ).toEqual({
    NODE_COMPILE_CACHE: "/d/cache",
    MALLOC_ARENA_MAX: "1",
    WAYBILL_API_URL: "http://127.0.0.1:7070",
    WAYBILL_AGENT_DIR: "/d/node-agent",
    WAYBILL_POD_RANGE: "10.64.7.0/24",
    WAYBILL_JOIN_TOKEN_FILE: "/d/node-agent/join.token",
    CONTAINER_RUNTIME_ENDPOINT: "unix:///run/waybill-0123abcd/containerd.sock",
    WAYBILL_REGISTRY_HOSTS_DIR: "/d/containerd/certs.d",
    WAYBILL_CADDY_ADMIN: "/run/waybill-0123abcd/router-admin.sock",
    WAYBILL_INGRESS_SOCKET: "/run/waybill-0123abcd/ingress.sock",
    WAYBILL_CGROUP_PARENT: "/waybill-0123abcd",
    WAYBILL_AGENT_HEALTH: "/run/waybill-0123abcd/node-agent.sock",
    WAYBILL_NODE_CPU: "2",
    WAYBILL_NODE_ADDRESS: "192.0.2.1",
  });
});

test.each([
  ["DATABASE_URL", "postgres://u:p@db.example/x", "postgres"],
  ["REDIS_URL", "redis://redis.example/1", "redis"],
  ["REGISTRY_URL", "https://registry.example", "registry"],
  ["CONTAINER_RUNTIME_ENDPOINT", "unix:///run/other.sock", "containerd"],
])("%s takes the embedded part's place", (variable, value, part) => {
  const { foundation, api, worker, nodeAgent } = assembled({ [variable]: value });

  expect(foundation.map((it) => it.name)).not.toContain(part);
  expect(foundation).toHaveLength(4);
  const told = [api, worker, nodeAgent].flatMap((it) => Object.values(it.env));
  expect(told).toContain(value);
});

test.each(["front", "caddy"])("the ingress' %s runs without root's powers", (part) => {
  expect(words(part)).toContain("--bounding-set=-all,+net_bind_service -- /usr/bin/caddy run");
});

test("what pods may use of the host is told to those who ask it, and to nobody else", () => {
  const policy = { WAYBILL_HOST_PATHS: "/data", WAYBILL_HOST_PORTS: "8443,9000-9100" };

  expect(named("api", policy).env).toMatchObject(policy);
  expect(named("node-agent", policy).env).toMatchObject(policy);
  expect(Object.keys(named("worker", policy).env)).not.toEqual(
    expect.arrayContaining([expect.stringMatching("HOST_PATHS|HOST_PORTS")]),
  );
});
