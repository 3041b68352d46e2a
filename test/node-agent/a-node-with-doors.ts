import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import {
  Agent,
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request,
  type ServerResponse,
} from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import type { Door } from "../../node-agent/ingress/doors.ts";
import { type Ingress, type IngressWish, openIngress } from "../../node-agent/ingress/keeper.ts";
import type { IngressRoute } from "../../node-agent/ingress/routes.ts";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/free-port.ts";
import { anIngress } from "../support/ingress.ts";

/* Several ingresses on loopback, each as a node's, and what they lead to. */

export const SHOP = "shop.localhost";
export const HERE = "127.0.0.1";
/** Of the installation that all of these are nodes of. */
export const INGRESS_KEY = "5f0e8c6a-3b1d-4e57-8a94-2c7d10b6f3e9";

export const aWish = (
  said: Partial<IngressRoute>,
  node: Partial<Omit<IngressWish, "routes">> = {},
): IngressWish => ({
  routes: [{ app: "shop", hosts: [SHOP], upstreams: [], remote: [], doors: [], ...said }],
  peers: [HERE],
  ingressKey: INGRESS_KEY,
  ...node,
});

export const aDoor = (port: number, pod?: string, gone = false): Door => ({ port, pod, gone });

export type Node = {
  readonly port: number;
  readonly ingress: Ingress;
  kill(): Promise<void>;
};

/** An ingress and its keeper, with the first routes in place. */
export async function aNode(stack: AsyncDisposableStack, wish: IngressWish): Promise<Node> {
  const dir = await mkdtemp(join(tmpdir(), "waybill-doors-"));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  const port = await freePort();
  const { front, router, ...part } = await anIngress({ dataDir: dir, runDir: dir, httpPort: port });
  for (const it of [router, front]) await stack.use(it).start();
  const ending = new AbortController();
  const log = { info: () => {}, warn: () => {}, error: () => {} };
  const { signal } = ending;
  await eventually(() => ask(port));
  const ingress = openIngress({ ...part, signal, log, onChange: () => {} });
  stack.defer(async () => {
    ending.abort();
    await ingress.done;
  });
  await eventually(() => expect(ingress.upstreams()).toBeDefined());
  await routed(ingress, wish);
  return { port, ingress, kill: async () => void (await Promise.all([front.end(), router.end()])) };
}

/** Asks for these routes, and waits until Caddy has them. */
export async function routed(ingress: Ingress, wish: IngressWish): Promise<void> {
  ingress.want(wish);
  const sentTo = wish.routes.flatMap((it) => [...it.upstreams, ...it.remote]);
  const own = wish.routes.flatMap((it) => it.doors.map(({ port }) => `${HERE}:${port}`));
  await eventually(() => {
    const now = [...(ingress.upstreams() ?? [])].filter((it) => !own.includes(it));
    expect(now.sort()).toEqual(sentTo.sort());
  });
}

export type Pod = {
  readonly at: string;
  asked(): number;
  /** Of its last request. */
  headers(): IncomingHttpHeaders;
  /** Whether any of its requests had this header. */
  sawEver(header: string): boolean;
};

/**
 * Answers its name and how many bytes it was sent, after as many ms as the path says; to a request for `/`
 * with this status.
 */
export async function aPod(stack: AsyncDisposableStack, name: string, atRoot = 200): Promise<Pod> {
  let asked = 0;
  let headers: IncomingHttpHeaders = {};
  const seen = new Set<string>();
  const answered = async (question: IncomingMessage, answer: ServerResponse) => {
    let bytes = 0;
    for await (const chunk of question) bytes += chunk.length;
    await sleep(Number(question.url?.slice(1) || 0));
    answer.writeHead(question.url === "/" ? atRoot : 200).end(`${name} ${bytes}`);
  };
  const server = createServer((question, answer) => {
    asked += 1;
    headers = question.headers;
    for (const name of Object.keys(headers)) seen.add(name);
    // One that is cut off in its middle ends here.
    answered(question, answer).catch(() => answer.destroy());
  }).listen(0, HERE);
  await once(server, "listening");
  stack.defer(async () => void server.close().closeAllConnections());
  const { port } = server.address() as { port: number };
  return {
    at: `${HERE}:${port}`,
    asked: () => asked,
    headers: () => headers,
    sawEver: (header) => seen.has(header),
  };
}

export async function ask(
  port: number,
  said: {
    host?: string;
    path?: string;
    body?: Buffer;
    headers?: object;
    agent?: Agent;
    /** The address that it comes from. */
    from?: string;
  } = {},
): Promise<string> {
  const { host = SHOP, path = "/", body } = said;
  const method = body ? "POST" : "GET";
  const headers = { host, ...said.headers };
  const { agent = new Agent({ keepAlive: false }) } = said;
  const localAddress = said.from ?? HERE;
  const question = request({ host: HERE, port, path, method, headers, agent, localAddress });
  question.end(body);
  const [answer] = await once(question, "response");
  let text = "";
  for await (const chunk of answer) text += chunk;
  return `${answer.statusCode} ${text}`;
}
