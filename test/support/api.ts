import { createHash, randomBytes } from "node:crypto";
import request from "supertest";
import { openAsk } from "../../api/ask.ts";
import type { ApiConfig, ApiDeps } from "../../api/deps.ts";
import { httpApi } from "../../api/http/app.ts";
import { changesHub } from "../../api/http/changes.ts";
import { secretsDoor } from "../../api/materials/secrets-door.ts";
import { listenForChanges } from "../../api/news.ts";
import { later } from "../../api/node/later.ts";
import { listen } from "../../api/node/server.ts";
import { streamingFetch } from "../../api/node/streaming-fetch.ts";
import { openWebSocketDoor } from "../../api/node/web-sockets.ts";
import type { ProjectId } from "../../contract/ids.ts";
import { PROTOCOL, PROTOCOL_HEADER } from "../../contract/node/skew.ts";
import { makeToken, type TokenKind } from "../../contract/token.ts";
import { ensureProject } from "../../db/access/projects.ts";
import { insertToken } from "../../db/access/tokens.ts";
import type { Db } from "../../db/client.ts";
import { CHANGES_CHANNEL } from "../../db/outbox.ts";
import type { Scope } from "../../db/schema/core.ts";
import { type FreshDb, freshDb } from "./postgres.ts";

export const ALL_SCOPES: readonly Scope[] = [
  "app:read",
  "app:deploy",
  "app:admin",
  "secret:write",
  "node:admin",
  "audit:read",
  "org:admin",
];

/** One line of an installation's key file for secrets. */
export const keyLine = (kid: string, byte: number) =>
  `${kid}:${Buffer.alloc(32, byte).toString("base64")}\n`;
export const A_KEY_FILE = keyLine("k1", 7);

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
  /** What whoever asks in a node's name speaks, if not what the api does; null tells none. */
  readonly protocol?: number | null;
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
  options: {
    registryUrl?: string;
    config?: Partial<ApiConfig>;
    bodyIdleMs?: number;
    /** The text of the key file for secrets; undefined for an installation without one. */
    keyFile?: string | undefined;
  } = {},
): Promise<TestApi> {
  const pg = await freshDb();
  const stopping = new AbortController();
  const changes = changesHub(stopping.signal);
  const log = { info: () => undefined, warn: () => undefined, error: console.error };
  await listenForChanges(pg, CHANGES_CHANNEL, changes, stopping.signal, log);
  const webSockets = openWebSocketDoor((error) => console.error(error));
  const deps: ApiDeps = {
    db: pg.db,
    ask: openAsk(pg.db, "localhost"),
    registry: { url: options.registryUrl ?? "http://127.0.0.1:9", fetch: streamingFetch },
    sha256,
    randomBytes,
    changes,
    secrets: secretsDoor(pg.db, "keyFile" in options ? options.keyFile : A_KEY_FILE),
    config: {
      appsDomain: "localhost",
      httpPort: 8080,
      maxArtifactBytes: 64 * 1024 * 1024,
      hostPolicy: { paths: [], ports: [] },
      ...options.config,
    },
    log,
    stopping: stopping.signal,
    addressOf: () => "127.0.0.1",
    reachedAt: () => "192.0.2.1",
    outward: async () => null,
    upgrade: webSockets.upgrade,
    later,
  };
  const server = await listen(httpApi(deps).fetch, {
    host: "127.0.0.1",
    port: 0,
    webSockets,
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
  readonly createdBy?: string;
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
    createdBy: wanted.createdBy ?? "test",
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
  const protocol = options.protocol === undefined ? PROTOCOL : options.protocol;
  const headers = {
    ...(protocol !== null &&
      path.startsWith("/v1/node/") && { [PROTOCOL_HEADER]: String(protocol) }),
    ...(token !== null && { authorization: `Bearer ${token}` }),
    ...(options.json !== undefined && { "content-type": "application/json" }),
    ...options.headers,
  };
  const body = options.json === undefined ? options.body : JSON.stringify(options.json);
  const sent = { method: options.method ?? "GET", path, headers };
  const answer =
    body === undefined || typeof body === "string"
      ? await send(url, sent, body)
      : await sendBytes(url, sent, body);
  const type = answer.headers.get("content-type") ?? "";
  const isJson = type.includes("json") && !type.includes("ndjson") && answer.text !== "";
  return { ...answer, body: isJson ? JSON.parse(answer.text) : undefined };
}

type Sent = {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
};

async function send(url: string, { method, path, headers }: Sent, body: string | undefined) {
  const asked = request(url)[method.toLowerCase() as "get"](path).set(headers);
  if (body !== undefined) asked.send(body);
  const answer = await asked.buffer(true).parse((raw, done) => asText(raw as never, done));
  return {
    status: answer.status,
    headers: new Headers(answer.headers),
    text: String(answer.body ?? ""),
  };
}

/** Supertest would write bytes as JSON, and cannot send them piece by piece. */
async function sendBytes(
  url: string,
  { method, path, headers }: Sent,
  body: Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>,
) {
  const answer = await fetch(url + path, { method, headers, body, duplex: "half" });
  return { status: answer.status, headers: answer.headers, text: await answer.text() };
}

function asText(
  answer: NodeJS.ReadableStream,
  done: (error: Error | null, body: string) => void,
): void {
  let text = "";
  answer.setEncoding("utf8");
  answer.on("data", (chunk: string) => {
    text += chunk;
  });
  answer.on("end", () => done(null, text));
}
