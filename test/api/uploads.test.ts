import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { createServer, request } from "node:http";
import { basename, join } from "node:path";
import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import { startApi, type TestApi } from "../support/api.ts";
import { eventually } from "../support/eventually.ts";
import { startRegistry, type TestRegistry } from "../support/registry.ts";

const digestOf = (bytes: Uint8Array) =>
  `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

async function world(config = {}) {
  const registry = await startRegistry();
  const api = await startApi({ registryUrl: registry.url, config });
  return {
    registry,
    api,
    [Symbol.asyncDispose]: async () => {
      await api[Symbol.asyncDispose]();
      await registry[Symbol.asyncDispose]();
    },
  };
}

const upload = (api: TestApi, path: string, body: Uint8Array<ArrayBuffer>, method = "PUT") =>
  api.ask(path, { method, body });

const isStored = async (registry: TestRegistry, digest: string) =>
  (await fetch(`${registry.url}/v2/artifacts/default/blobs/${digest}`, { method: "HEAD" })).ok;

/** Uploads that were begun and neither kept nor cancelled. */
async function leftovers(registry: TestRegistry): Promise<string[]> {
  const root = join(registry.storage, "docker/registry/v2/repositories/artifacts/default/_uploads");
  const files = await readdir(root, { recursive: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  return files.filter((file) => basename(file) === "data");
}

test("a WAR becomes an app with the defaults, and its bytes are in the registry first", async () => {
  await using it = await world();
  const war = randomBytes(300_000);

  const answer = await upload(it.api, "/v1/apps/shop/war?contextPath=/v2", war);

  expect(answer.status).toBe(201);
  expect(answer.body).toMatchObject({ app: "shop", release: 1, unchanged: false });
  expect(answer.body.url).toBe("http://shop.localhost:8080/v2/");
  expect(await isStored(it.registry, digestOf(war))).toBe(true);
  const app = await it.api.ask("/v1/apps/shop");
  expect(app.body.spec.war).toMatchObject({ artifact: digestOf(war), contextPath: "/v2" });
});

test("the same WAR again is unchanged and stores nothing; another keeps the rest of the spec", async () => {
  await using it = await world();
  const war = randomBytes(100_000);
  await upload(it.api, "/v1/apps/shop/war?contextPath=/a", war);

  const same = await upload(it.api, "/v1/apps/shop/war", war);
  const other = await upload(it.api, "/v1/apps/shop/war", randomBytes(1_000));

  expect(same.body).toMatchObject({ release: 1, unchanged: true });
  expect(other.body).toMatchObject({ release: 2, unchanged: false });
  expect(other.body.url).toBe("http://shop.localhost:8080/a/");
  expect(await leftovers(it.registry)).toEqual([]);
});

test("an empty WAR is refused, with and without a length", async () => {
  await using it = await world();

  const sized = await upload(it.api, "/v1/apps/shop/war", new Uint8Array());
  const streamed = await it.api.ask("/v1/apps/shop/war", {
    method: "PUT",
    body: new ReadableStream({ start: (controller) => controller.close() }),
  });

  expect(sized.body.type).toBe("/problems/artifact-empty");
  expect(streamed.body.type).toBe("/problems/artifact-empty");
  expect((await it.api.ask("/v1/apps/shop")).status).toBe(404);
});

test("more bytes than the installation takes are refused, announced or not, and leave nothing", async () => {
  await using it = await world({ maxArtifactBytes: 100_000 });
  const parts = Array.from({ length: 30 }, () => randomBytes(10_000));

  const announced = await upload(it.api, "/v1/apps/shop/war", randomBytes(100_001));
  const streamed = await it.api.ask("/v1/apps/shop/war", {
    method: "PUT",
    body: ReadableStream.from<Uint8Array>(parts),
  });
  const fits = await upload(it.api, "/v1/apps/shop/war", randomBytes(100_000));

  expect(announced.status).toBe(413);
  expect(announced.body.type).toBe("/problems/artifact-too-large");
  expect(streamed.status).toBe(413);
  expect(fits.status).toBe(201);
  expect(await leftovers(it.registry)).toEqual([]);
});

test("an upload that breaks off halfway leaves nothing, in the registry or the database", async () => {
  await using it = await world();
  const sent = request(`${it.api.url}/v1/apps/shop/war`, {
    method: "PUT",
    headers: { authorization: `Bearer ${it.api.token}`, "content-length": 1_000_000 },
  });
  sent.on("error", () => undefined);
  sent.write(randomBytes(500_000));
  await eventually(async () => expect(await leftovers(it.registry)).toHaveLength(1));

  sent.destroy();

  await eventually(async () => expect(await leftovers(it.registry)).toEqual([]));
  expect(await it.api.db.execute(sql`select 1 from artifacts`)).toHaveLength(0);
  expect((await it.api.ask("/v1/apps/shop")).status).toBe(404);
});

test("no byte is asked for before the token is known", async () => {
  await using it = await world();
  const sent = request(`${it.api.url}/v1/apps/shop/war`, {
    method: "PUT",
    headers: { "content-length": 1_000_000, expect: "100-continue" },
  });
  let continued = false;
  sent.on("continue", () => {
    continued = true;
  });
  sent.flushHeaders();

  const [response] = await once(sent, "response");
  sent.destroy();

  expect(response.statusCode).toBe(401);
  expect(continued).toBe(false);
});

test("a client that waits for 100 Continue is told to go on", async () => {
  await using it = await world();
  const sent = request(`${it.api.url}/v1/artifacts`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${it.api.token}`,
      "content-length": 5,
      expect: "100-continue",
    },
  });
  sent.on("continue", () => sent.end("hello"));
  sent.flushHeaders();

  const [response] = await once(sent, "response");
  response.resume();

  expect(response.statusCode).toBe(201);
});

test("a dry run of a WAR hashes it and stores nothing", async () => {
  await using it = await world();
  const war = randomBytes(10_000);

  const answer = await upload(it.api, "/v1/apps/shop/war?dryRun=true", war);

  expect(answer.body).toMatchObject({ app: "shop", dryRun: true, unchanged: false });
  expect(answer.body.spec.war.artifact).toBe(digestOf(war));
  expect(await isStored(it.registry, digestOf(war))).toBe(false);
});

test("artifacts are known by their digest, and bytes with another digest are refused", async () => {
  await using it = await world();
  const bytes = randomBytes(5_000);
  const digest = digestOf(bytes);

  const posted = await upload(it.api, "/v1/artifacts", bytes, "POST");
  const put = await upload(it.api, `/v1/artifacts/${digest}`, bytes);
  const wrong = await upload(it.api, `/v1/artifacts/${digest}`, randomBytes(10));
  const used = await it.api.ask("/v1/apps/shop", {
    method: "PUT",
    json: { war: { artifact: digest } },
  });

  expect(posted.status).toBe(201);
  expect(posted.body).toEqual({ digest, size: 5_000 });
  expect(put.status).toBe(200);
  expect(wrong.body.type).toBe("/problems/digest-mismatch");
  expect(used.status).toBe(201);
  expect(await leftovers(it.registry)).toEqual([]);
});

test("bytes that the registry lost are stored again by the next upload", async () => {
  await using it = await world();
  const bytes = randomBytes(5_000);
  await upload(it.api, "/v1/artifacts", bytes, "POST");
  const url = `${it.registry.url}/v2/artifacts/default/blobs/${digestOf(bytes)}`;
  await fetch(url, { method: "DELETE" });

  await upload(it.api, "/v1/artifacts", bytes, "POST");

  expect(await isStored(it.registry, digestOf(bytes))).toBe(true);
});

test("without a registry an upload is a 503, and nothing is known of it", async () => {
  await using api = await startApi();

  const answer = await upload(api, "/v1/apps/shop/war", randomBytes(100_000));

  expect(answer.status).toBe(503);
  expect(answer.body.type).toBe("/problems/registry-unavailable");
  expect(await api.db.execute(sql`select 1 from artifacts`)).toHaveLength(0);
});

test("a registry that dies in the middle of an upload makes it a 503", async () => {
  const broken = createServer((incoming, response) => {
    if (incoming.method === "POST") {
      response.writeHead(202, { location: "/v2/artifacts/default/blobs/uploads/1" }).end();
    } else if (incoming.method === "PATCH") incoming.once("data", () => incoming.destroy());
    else response.writeHead(404).end();
  }).listen(0, "127.0.0.1");
  await once(broken, "listening");
  const { port } = broken.address() as { port: number };
  try {
    await using api = await startApi({ registryUrl: `http://127.0.0.1:${port}` });

    const answer = await upload(api, "/v1/apps/shop/war", randomBytes(3_000_000));

    expect(answer.body.type).toBe("/problems/registry-unavailable");
  } finally {
    broken.closeAllConnections();
    broken.close();
  }
});
