import { createHash, randomBytes } from "node:crypto";
import { connect } from "../db/client.ts";
import { readEnv } from "../kit/env.ts";
import { openLog } from "../kit/log.ts";
import { openAsk } from "./ask.ts";
import { edgeUpgrade } from "./edge/web-sockets.ts";
import { EdgeEnv } from "./env.ts";
import { httpApi } from "./http/app.ts";
import { pollingChanges } from "./http/changes.ts";
import { secretsDoor } from "./materials/secrets-door.ts";

/*
 * The api on an edge runtime: main.ts's twin. A connection belongs to the request that opened it
 * there, so each request has its own, and nothing listens: who waits looks twice a second.
 */

const LOOK_EVERY_MS = 500;

type Platform = { waitUntil(work: Promise<unknown>): void };

export default {
  async fetch(
    request: Request,
    source: Record<string, string>,
    platform: Platform,
  ): Promise<Response> {
    const env = readEnv(EdgeEnv, source);
    const connection = connect(env.DATABASE_URL, { max: 2, name: "edge" });
    let session: Promise<void> | undefined;
    const api = httpApi({
      db: connection.db,
      ask: openAsk(connection.db, env.WAYBILL_APPS_DOMAIN),
      registry: { url: env.REGISTRY_URL, fetch: (input, init) => fetch(input, init) },
      sha256: () => {
        const hash = createHash("sha256");
        return { update: (bytes) => void hash.update(bytes), hex: () => hash.digest("hex") };
      },
      randomBytes,
      changes: pollingChanges(LOOK_EVERY_MS),
      secrets: secretsDoor(connection.db, env.WAYBILL_SECRETS_KEY),
      config: {
        appsDomain: env.WAYBILL_APPS_DOMAIN,
        httpPort: env.WAYBILL_HTTP_PORT,
        maxArtifactBytes: env.WAYBILL_MAX_ARTIFACT,
        hostPolicy: { paths: env.WAYBILL_HOST_PATHS, ports: env.WAYBILL_HOST_PORTS },
      },
      log: openLog("edge", (line) => console.log(line.trimEnd())),
      stopping: new AbortController().signal,
      addressOf: (c) => c.req.header("cf-connecting-ip") ?? null,
      reachedAt: () => null,
      outward: async () => null,
      upgrade: edgeUpgrade((work) => {
        session = work;
      }),
      later: async (c, wait) => {
        const { status, headers, body } = await wait(c.req.raw.signal);
        return new Response(body, { status, headers });
      },
    });
    const response = await api.fetch(request);
    const close = () => (session ?? Promise.resolve()).finally(connection.close);
    return closeAfter(response, close, platform);
  },
};

/** The connection lives as long as the answer's body: a streamed one reads from the database to its end. */
function closeAfter(response: Response, close: () => Promise<void>, platform: Platform): Response {
  if (response.body === null) {
    platform.waitUntil(close());
    return response;
  }
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  platform.waitUntil(response.body.pipeTo(writable).finally(close));
  return new Response(readable, response);
}
