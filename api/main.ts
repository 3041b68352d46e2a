import { createHash, randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { HttpBindings } from "@hono/node-server";
import { connect } from "../db/client.ts";
import { databaseUnavailable, withoutValues } from "../db/errors.ts";
import { CHANGES_CHANNEL } from "../db/outbox.ts";
import { readEnv } from "../kit/env.ts";
import { openLog } from "../kit/log.ts";
import { startLoop } from "../kit/loop.ts";
import { closeAll, onTermination } from "../kit/shutdown.ts";
import { openAsk } from "./ask.ts";
import { ApiEnv } from "./env.ts";
import { httpApi } from "./http/app.ts";
import { changesHub } from "./http/changes.ts";
import { rewrapSecrets } from "./materials/rewrap.ts";
import { type SecretsDoor, secretsDoor } from "./materials/secrets-door.ts";
import { listenForChanges } from "./news.ts";
import { later } from "./node/later.ts";
import { outwardAddress } from "./node/outward-address.ts";
import { listen } from "./node/server.ts";
import { streamingFetch } from "./node/streaming-fetch.ts";
import { openWebSocketDoor } from "./node/web-sockets.ts";

/** For what another api process sealed with the key that was first before. */
const REWRAP_EVERY_MS = 3_600_000;

const log = openLog("api");

async function main(): Promise<void> {
  const env = readEnv(ApiEnv);
  const stopping = onTermination();
  const connection = connect(env.DATABASE_URL, { max: 16, name: "api" });
  const changes = changesHub(stopping);
  const secrets = secretsDoor(connection.db, await keyFileText(env.WAYBILL_SECRETS_KEY_FILE));
  await refuseUnfitKeys(secrets);
  const rewrapping = startLoop({
    everyMs: REWRAP_EVERY_MS,
    signal: stopping,
    pass: () => rewrapSecrets({ db: connection.db, secrets, log }, stopping),
    onError: (error) => log.error("rewrapping secrets failed", withoutValues(error)),
  });
  // It ends with the connection.
  void listenForChanges(connection, CHANGES_CHANNEL, changes, stopping, log);
  const webSockets = openWebSocketDoor((error) =>
    log.error("a WebSocket broke", withoutValues(error)),
  );
  const api = httpApi({
    db: connection.db,
    ask: openAsk(connection.db, env.WAYBILL_APPS_DOMAIN),
    registry: { url: env.REGISTRY_URL, fetch: streamingFetch },
    sha256: () => {
      const hash = createHash("sha256");
      return { update: (bytes) => void hash.update(bytes), hex: () => hash.digest("hex") };
    },
    randomBytes,
    changes,
    secrets,
    config: {
      appsDomain: env.WAYBILL_APPS_DOMAIN,
      httpPort: env.WAYBILL_HTTP_PORT,
      maxArtifactBytes: env.WAYBILL_MAX_ARTIFACT,
      hostPolicy: { paths: env.WAYBILL_HOST_PATHS, ports: env.WAYBILL_HOST_PORTS },
    },
    log,
    stopping,
    addressOf: (c) => (c.env as HttpBindings).incoming.socket.remoteAddress ?? null,
    reachedAt: (c) => (c.env as HttpBindings).incoming.socket.localAddress ?? null,
    outward: () => outwardAddress(env.WAYBILL_API_HOST),
    upgrade: webSockets.upgrade,
    later,
  });
  const server = await listen(api.fetch, {
    host: env.WAYBILL_API_HOST,
    port: env.WAYBILL_API_PORT,
    webSockets,
  });
  log.info("api ready", { host: env.WAYBILL_API_HOST, port: server.port });

  if (!stopping.aborted) {
    await new Promise((resolve) => stopping.addEventListener("abort", resolve));
  }
  const late = await closeAll([
    { name: "http", close: () => server.close(4_000) },
    { name: "rewrapping", close: () => rewrapping.done },
    { name: "database", close: connection.close },
  ]);
  log.info("api ended", { late });
  process.exit(0);
}

async function keyFileText(path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined;
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new Error(`reading the key file for secrets ${path}`, { cause });
  }
}

/** Fails closed where secrets could not be read. A database that is away is asked again by the first who needs one. */
async function refuseUnfitKeys(secrets: SecretsDoor): Promise<void> {
  try {
    await secrets.unlock();
  } catch (error) {
    if (!databaseUnavailable(error)) throw error;
    log.warn("the keys for secrets are not checked yet: the database does not answer");
  }
}

try {
  await main();
} catch (error) {
  log.error("the api cannot run", error);
  process.exit(1);
}
