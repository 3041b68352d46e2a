import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { SESSION_HEADER } from "../../contract/node/host.ts";
import { LogBatch, type LogBatchAnswer } from "../../contract/node/logs.ts";
import { type DesiredState, JoinRequest, NodeReport } from "../../contract/node/protocol.ts";
import { PROTOCOL, PROTOCOL_HEADER } from "../../contract/node/skew.ts";

/** An api's side of the node protocol, in memory, with the registry behind /v2 for those who know the token. */
export type NodeApi = AsyncDisposable & {
  readonly url: string;
  readonly node: string;
  readonly joinToken: string;
  /** The newest first. */
  readonly reports: NodeReport[];
  /** What it says that it speaks from now on; undefined: it tells nothing, as before there were numbers. */
  speak(protocol: number | undefined): void;
  /** What the agent said that it speaks, by the path that it asked last. */
  spoken(): ReadonlyMap<string, string | undefined>;
  /** How often a node joined. */
  joins(): number;
  /** Sets the wish, one generation on. */
  wish(
    pods: DesiredState["pods"],
    routes?: DesiredState["routes"],
    materials?: Partial<Materials>,
  ): void;
  /** The public key that the node gave when it joined last, in base64. */
  publicKey(): string;
  /** The session of the agent that asked last, and of the one that said that it stops. */
  session(): string | undefined;
  left(): string | undefined;
  /** Every node token that was given out stops working. */
  revoke(): void;
  /** Loses its database: the node is to join anew, as another one that nobody has planned for. */
  forget(): void;
  /** Answers every question to the node routes with this instead, until it is called with undefined. */
  answerWith(raw: RawAnswer | undefined): void;
  /** How many questions for the wish were answered, with whatever. */
  answered(): number;
  /** What this pod's containers wrote, as far as it was shipped. */
  words(pod: string): readonly string[];
};

type Materials = Pick<DesiredState, "configMaps" | "secrets" | "keepImages" | "purgeVolumes">;

export type RawAnswer = {
  readonly status: number;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Breaks the connection after this many bytes of the body. */
  readonly cutAt?: number;
};

const NOTHING: Omit<DesiredState, "node"> = {
  generation: 0,
  pods: [],
  routes: [],
  routing: 0,
  peers: [],
  configMaps: [],
  secrets: [],
  keepImages: [],
  purgeVolumes: [],
};

export async function startNodeApi(registryUrl?: string): Promise<NodeApi> {
  let node = randomUUID();
  const joinToken = `join-${randomUUID()}`;
  const reports: NodeReport[] = [];
  let token = "";
  let joins = 0;
  let raw: RawAnswer | undefined;
  let protocol: number | undefined = PROTOCOL;
  let publicKey = "";
  let session: string | undefined;
  let left: string | undefined;
  let desired: Omit<DesiredState, "node"> = NOTHING;
  let answered = 0;
  const kept = new Map<string, LogBatchAnswer["kept"][number]>();
  const words = new Map<string, string[]>();
  const waiting = new Set<() => void>();
  const spoken = new Map<string, string | undefined>();

  const server = createServer((request, answer) => {
    handle(request, answer).catch((error: unknown) => {
      answer.writeHead(500).end(String(error));
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = address !== null && typeof address === "object" ? address.port : 0;

  async function handle(request: IncomingMessage, answer: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", "http://api");
    if (url.pathname.startsWith("/v2/")) return registry(request, url, answer);
    if (url.pathname === "/v1/node/desired") answer.once("close", () => (answered += 1));
    session = String(request.headers[SESSION_HEADER]);
    spoken.set(url.pathname, request.headers[PROTOCOL_HEADER]?.toString());
    if (protocol !== undefined) answer.setHeader(PROTOCOL_HEADER, String(protocol));
    if (raw) return sendRaw(answer, raw);
    const bearer = request.headers.authorization?.replace("Bearer ", "");
    if (url.pathname === "/v1/node/join") {
      if (bearer !== joinToken) return send(answer, 401, {});
      joins += 1;
      const joining = JoinRequest.parse(JSON.parse(await bodyOf(request)));
      publicKey = joining.publicKey;
      token ||= `node-${randomUUID()}`;
      const { podRange = "10.64.0.0/24" } = joining;
      return send(answer, 200, { node, name: "test", token, podRange });
    }
    if (token === "" || bearer !== token) return send(answer, 401, {});
    if (url.pathname === "/v1/node/session") {
      left = session;
      return void answer.writeHead(204).end();
    }
    if (url.pathname === "/v1/node/report") {
      reports.unshift(NodeReport.parse(JSON.parse(await bodyOf(request))));
      return void answer.writeHead(204).end();
    }
    if (url.pathname === "/v1/node/logs")
      return send(answer, 200, {
        kept: takeLogs(LogBatch.parse(JSON.parse(await bodyOf(request)))),
      });
    if (url.pathname !== "/v1/node/desired") return send(answer, 404, {});
    await changed(request, Number(url.searchParams.get("waitMs")));
    if (request.headers["if-none-match"] === etag()) return void answer.writeHead(304).end();
    send(answer, 200, { node, ...desired }, { etag: etag() });
  }

  function takeLogs({ chunks }: LogBatch): LogBatchAnswer["kept"] {
    return chunks.map(({ pod, container, attempt, from, to, lines }) => {
      const key = `${pod}/${container}/${attempt}`;
      const before = kept.get(key)?.to ?? 0;
      const now = { pod, container, attempt, to: from === before ? to : before };
      kept.set(key, now);
      if (now.to > before)
        words.set(pod, [...(words.get(pod) ?? []), ...lines.map((it) => it.text)]);
      return now;
    });
  }

  const etag = () => `"${desired.generation}"`;

  async function changed(request: IncomingMessage, waitMs: number): Promise<void> {
    if (request.headers["if-none-match"] !== etag()) return;
    const news = Promise.withResolvers<void>();
    waiting.add(news.resolve);
    const timer = setTimeout(news.resolve, waitMs);
    request.once("close", news.resolve);
    await news.promise;
    clearTimeout(timer);
    waiting.delete(news.resolve);
  }

  async function registry(
    request: IncomingMessage,
    url: URL,
    answer: ServerResponse,
  ): Promise<void> {
    const login = `Basic ${Buffer.from(`node:${token}`).toString("base64")}`;
    if (token === "" || request.headers.authorization !== login) {
      answer.setHeader("www-authenticate", 'Basic realm="waybill"');
      return send(answer, 401, {});
    }
    const { accept } = request.headers;
    const found = await fetch(`${registryUrl}${url.pathname}`, {
      method: request.method ?? "GET",
      headers: accept === undefined ? {} : { accept },
    });
    const headers = Object.fromEntries(
      [...found.headers].filter(([name]) => /^(content-(type|length)|docker-)/.test(name)),
    );
    answer.writeHead(found.status, headers);
    answer.end(Buffer.from(await found.arrayBuffer()));
  }

  return {
    url: `http://127.0.0.1:${port}`,
    get node() {
      return node;
    },
    joinToken,
    reports,
    speak(told) {
      protocol = told;
    },
    spoken: () => spoken,
    joins: () => joins,
    publicKey: () => publicKey,
    session: () => session,
    left: () => left,
    answered: () => answered,
    words: (pod) => words.get(pod) ?? [],
    wish(pods, routes = [], materials = {}) {
      desired = { ...NOTHING, ...materials, generation: desired.generation + 1, pods, routes };
      for (const wake of waiting) wake();
    },
    revoke() {
      token = `node-${randomUUID()}`;
      for (const wake of waiting) wake();
    },
    forget() {
      node = randomUUID();
      token = "";
      desired = NOTHING;
      for (const wake of waiting) wake();
    },
    answerWith(answer) {
      raw = answer;
      for (const wake of waiting) wake();
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

function send(answer: ServerResponse, status: number, body: object, headers = {}): void {
  answer.writeHead(status, { "content-type": "application/json", ...headers });
  answer.end(JSON.stringify(body));
}

function sendRaw(answer: ServerResponse, raw: RawAnswer): void {
  const { status, body, headers, cutAt } = raw;
  answer.writeHead(status, { "content-length": String(Buffer.byteLength(body)), ...headers });
  if (cutAt === undefined) return void answer.end(body);
  answer.write(body.slice(0, cutAt), () => answer.destroy());
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}
