import { asUser, type Part } from "../part.ts";

export type RedisOptions = {
  readonly home: string;
  readonly port: number;
  readonly password: string;
};

/** Redis with an append-only file, that refuses writes rather than forgetting jobs when it is full. */
export function redisPart(o: RedisOptions): Part {
  const config = `${o.home}/redis.conf`;
  const text = [
    "bind 127.0.0.1",
    `port ${o.port}`,
    `requirepass ${o.password}`,
    `dir ${quoted(o.home)}`,
    "daemonize no",
    "appendonly yes",
    "appendfsync everysec",
    'save ""',
    "maxmemory-policy noeviction",
    "tcp-keepalive 60",
    "always-show-logo no",
    "set-proc-title no",
    "loglevel notice",
  ].join("\n");
  return {
    name: "redis",
    ...asUser("redis", { program: "/usr/bin/redis-server", argv: [config] }),
    env: {},
    folders: [{ path: o.home, mode: "0700", owner: "redis" }],
    files: [{ path: config, text: `${text}\n`, owner: "redis" }],
    sockets: [],
    memories: [],
    ports: [o.port],
    adopt: true,
    ready: { kind: "redis", port: o.port, password: o.password },
    readyWithinMs: 60_000,
    stop: { signal: "SIGTERM", graceMs: 20_000 },
  };
}

export function redisUrl(o: Pick<RedisOptions, "port" | "password">): string {
  return `redis://:${o.password}@127.0.0.1:${o.port}/0`;
}

function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, "\\$&")}"`;
}
