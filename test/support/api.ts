import { createHash, randomBytes } from "node:crypto";
import { changesHub } from "../../api/changes.ts";
import type { ApiConfig, ApiDeps } from "../../api/deps.ts";
import { httpApi } from "../../api/http.ts";
import { listenForChanges } from "../../api/news.ts";
import { listen } from "../../api/node/server.ts";
import { streamingFetch } from "../../api/node/streaming-fetch.ts";
import type { ProjectId } from "../../contract/ids.ts";
import { makeToken, type TokenKind } from "../../contract/token.ts";
import type { Db } from "../../db/client.ts";
import { CHANGES_CHANNEL } from "../../db/outbox.ts";
import { ensureProject } from "../../db/projects.ts";
import type { Scope } from "../../db/schema.ts";
import { insertToken } from "../../db/tokens.ts";
import { type FreshDb, freshDb } from "./postgres.ts";

export const ALL_SCOPES: readonly Scope[] = [
  "app:read",
  "app:deploy",
  "app:admin",
  "node:admin",
  "audit:read",
  "org:admin",
];

export type TestApi = AsyncDisposable & {
  readonly url: string;
  readonly pg: FreshDb;
  readonly db: Db;
  readonly project: ProjectId;
  /** An administrator's token of the project `default`. */
  readonly token: string;
  readonly deps: ApiDeps;
  /** A request with the administrator's token, or with `token` where it is given; null sends none. */
  ask(path: string, options?: AskOptions): Promise<Answer>;
  /** Ends every wait, as a SIGTERM does. */
  stop(): void;
};

export type AskOptions = {
  readonly method?: string;
  readonly token?: string | null;
  readonly json?: unknown;
  readonly body?: string | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>;
  readonly headers?: Readonly<Record<string, string>>;
};

export type Answer = {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: a test reads what it expects, and fails where it is not there.
  readonly body: any;
};

/** The whole api on a free port, with a database of its own; no registry unless one is named. */
export async function startApi(
  options: { registryUrl?: string; config?: Partial<ApiConfig>; bodyIdleMs?: number } = {},
): Promise<TestApi> {
  const pg = await freshDb();
  const stopping = new AbortController();
  const changes = changesHub();
  const log = { info: () => undefined, warn: () => undefined, error: console.error };
  await listenForChanges(pg, CHANGES_CHANNEL, changes, stopping.signal, log);
  const deps: ApiDeps = {
    db: pg.db,
    registry: { url: options.registryUrl ?? "http://127.0.0.1:9", fetch: streamingFetch },
    sha256,
    randomBytes,
    changes,
    config: {
      appsDomain: "localhost",
      httpPort: 8080,
      maxArtifactBytes: 64 * 1024 * 1024,
      ...options.config,
    },
    log,
    stopping: stopping.signal,
    addressOf: () => "127.0.0.1",
  };
  const server = await listen(httpApi(deps).fetch, {
    host: "127.0.0.1",
    port: 0,
    ...(options.bodyIdleMs !== undefined && { bodyIdleMs: options.bodyIdleMs }),
  });
  const url = `http://127.0.0.1:${server.port}`;
  const project = await ensureProject(pg.db, "default");
  const token = await aToken(pg.db, { kind: "personal", project });
  return {
    url,
    pg,
    db: pg.db,
    project,
    token,
    deps,
    ask: (path, asked) => ask(url, token, path, asked),
    stop: () => stopping.abort(),
    [Symbol.asyncDispose]: async () => {
      stopping.abort();
      await server.close(1_000);
      await pg[Symbol.asyncDispose]();
    },
  };
}

export type NewTestToken = {
  readonly kind: TokenKind;
  readonly project: ProjectId;
  readonly node?: string;
  readonly scopes?: readonly Scope[];
  readonly lifeSeconds?: number;
};

/** A token that the api takes; as its text. */
export async function aToken(db: Db, wanted: NewTestToken): Promise<string> {
  const token = makeToken(wanted.kind, randomBytes);
  await insertToken(db, {
    id: token.id,
    kind: wanted.kind,
    projectId: wanted.project,
    nodeName: wanted.node ?? null,
    secretHash: createHash("sha256").update(token.secret).digest(),
    last4: token.secret.slice(-4),
    scopes: wanted.scopes ?? (wanted.kind === "personal" ? ALL_SCOPES : []),
    createdBy: "test",
    lifeSeconds: wanted.lifeSeconds ?? 3_600,
  });
  return token.text;
}

function sha256() {
  const hash = createHash("sha256");
  return {
    update: (bytes: Uint8Array | string) => void hash.update(bytes),
    hex: () => hash.digest("hex"),
  };
}

async function ask(
  url: string,
  ownToken: string,
  path: string,
  options: AskOptions = {},
): Promise<Answer> {
  const token = options.token === undefined ? ownToken : options.token;
  const response = await fetch(url + path, {
    method: options.method ?? "GET",
    headers: {
      ...(token !== null && { authorization: `Bearer ${token}` }),
      ...(options.json !== undefined && { "content-type": "application/json" }),
      ...options.headers,
    },
    ...(options.json !== undefined && { body: JSON.stringify(options.json) }),
    ...(options.body !== undefined && { body: options.body, duplex: "half" }),
  });
  const text = await response.text();
  const isJson = response.headers.get("content-type")?.includes("json") ?? false;
  const whole = isJson && !response.headers.get("content-type")?.includes("ndjson");
  const body = whole && text !== "" ? JSON.parse(text) : undefined;
  return { status: response.status, headers: response.headers, text, body };
}
