import { createHash, randomBytes } from "node:crypto";
import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import { Digest } from "../../contract/ids.ts";
import { aToken, startApi, type TestApi } from "../support/api.ts";
import { aDigest, declare, joinedNode } from "../support/declared.ts";
import { storePod } from "../support/pod-rows.ts";
import { aPod } from "../support/pods.ts";
import { startRegistry } from "../support/registry.ts";

const digestOf = (bytes: Uint8Array | string) =>
  Digest.parse(`sha256:${createHash("sha256").update(bytes).digest("hex")}`);

/** A blob and a manifest that names nothing else, as a registry takes them. */
async function pushImage(registry: string, repository: string, layer: Buffer): Promise<Digest> {
  for (const bytes of [layer, Buffer.from("{}")]) {
    const begun = await fetch(`${registry}/v2/${repository}/blobs/uploads/`, { method: "POST" });
    const location = `${begun.headers.get("location")}&digest=${digestOf(bytes)}`;
    await fetch(location, {
      method: "PUT",
      body: new Uint8Array(bytes),
      headers: { "content-type": "application/octet-stream" },
    });
  }
  const type = "application/vnd.oci.image.manifest.v1+json";
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: type,
    config: {
      mediaType: "application/vnd.oci.image.config.v1+json",
      digest: digestOf("{}"),
      size: 2,
    },
    layers: [
      {
        mediaType: "application/vnd.oci.image.layer.v1.tar",
        digest: digestOf(layer),
        size: layer.length,
      },
    ],
  });
  const digest = digestOf(manifest);
  const kept = await fetch(`${registry}/v2/${repository}/manifests/${digest}`, {
    method: "PUT",
    body: manifest,
    headers: { "content-type": type },
  });
  if (kept.status !== 201) throw new Error(`the manifest was not kept: ${await kept.text()}`);
  return digest;
}

async function podOn(api: TestApi, node: string, made: string | object): Promise<void> {
  const { app, release } = await declare(api.db, `app-${node}`, aDigest("a"));
  const nodeId = await joinedNode(api.db, node);
  const base = aPod();
  const spec =
    typeof made === "string"
      ? { ...base.spec, containers: [{ image: made }] }
      : { ...base.spec, ...made };
  await storePod(api.db, { app, release, node: nodeId, spec: { ...base, spec: spec as never } });
}

const pull = (api: TestApi, token: string, path: string, headers = {}, method = "GET") =>
  fetch(`${api.url}/v2/${path}`, {
    method,
    headers: {
      authorization: `Basic ${btoa(`node:${token}`)}`,
      accept: "application/vnd.oci.image.manifest.v1+json, */*",
      ...headers,
    },
  });

test("a node pulls the images of its own pods and the bases, and no other", async () => {
  await using registry = await startRegistry();
  await using api = await startApi({ registryUrl: registry.url });
  const layer = randomBytes(200_000);
  const own = await pushImage(registry.url, "apps/default/own", layer);
  const foreign = await pushImage(registry.url, "apps/default/foreign", layer);
  const base = await pushImage(registry.url, "base/tomcat", layer);
  await podOn(api, "local", `waybill.internal/apps/default/own@${own}`);
  await podOn(api, "other", `waybill.internal/apps/default/foreign@${foreign}`);
  const token = await aToken(api.db, { kind: "node", project: api.project, node: "local" });

  const manifest = await pull(api, token, `apps/default/own/manifests/${own}?ns=waybill.internal`);
  const blob = await pull(api, token, `apps/default/own/blobs/${digestOf(layer)}`);
  const range = await pull(api, token, `apps/default/own/blobs/${digestOf(layer)}`, {
    range: "bytes=100-199",
  });
  const head = await pull(api, token, `base/tomcat/manifests/${base}`, {}, "HEAD");

  expect(manifest.status).toBe(200);
  expect(manifest.headers.get("docker-content-digest")).toBe(own);
  expect(digestOf(await manifest.text())).toBe(own);
  expect(digestOf(new Uint8Array(await blob.arrayBuffer()))).toBe(digestOf(layer));
  expect(range.status).toBe(206);
  expect(Buffer.from(await range.arrayBuffer()).equals(layer.subarray(100, 200))).toBe(true);
  expect(head.status).toBe(200);
  expect(head.headers.get("docker-content-digest")).toBe(base);
  for (const path of [
    `apps/default/foreign/manifests/${foreign}`,
    `apps/default/foreign/blobs/${digestOf(layer)}`,
    `apps/default/own/manifests/latest`,
    `artifacts/default/blobs/${digestOf(layer)}`,
    "_catalog",
    "apps/default/own/tags/list",
    `base/../artifacts/default/blobs/${digestOf(layer)}`,
    `base/tomcat%2f..%2f..%2fartifacts/blobs/${digestOf(layer)}`,
  ]) {
    expect((await pull(api, token, path)).status, path).toBe(404);
  }
  const denied = await api.db.execute(
    sql`select action, object from audit where result = 'denied'`,
  );
  expect([...denied]).toEqual([{ action: "node.foreign-image", object: "node:local" }]);
});

test("an image is no longer the node's when its pod is unwanted", async () => {
  await using registry = await startRegistry();
  await using api = await startApi({ registryUrl: registry.url });
  const own = await pushImage(registry.url, "apps/default/own", randomBytes(100));
  await podOn(api, "local", `waybill.internal/apps/default/own@${own}`);
  const token = await aToken(api.db, { kind: "node", project: api.project, node: "local" });
  const path = `apps/default/own/manifests/${own}`;

  const before = await pull(api, token, path);
  await api.db.execute(sql`update pods set wanted = 'gone'`);
  const after = await pull(api, token, path);

  expect([before.status, after.status]).toEqual([200, 404]);
});

test("a node pulls what its init containers and image volumes are made of, and no list of tags", async () => {
  await using registry = await startRegistry();
  await using api = await startApi({ registryUrl: registry.url });
  const first = await pushImage(registry.url, "library/first", randomBytes(100));
  const page = await pushImage(registry.url, "mirror/ip6.xx1_5000/page", randomBytes(100));
  await podOn(api, "local", {
    containers: [],
    initContainers: [{ image: `waybill.internal/library/first@${first}` }],
    volumes: [
      { name: "scratch", emptyDir: {} },
      { image: { reference: `waybill.internal/mirror/ip6.xx1_5000/page@${page}` } },
    ],
  });
  const token = await aToken(api.db, { kind: "node", project: api.project, node: "local" });
  const statusOf = async (path: string) => (await pull(api, token, path)).status;

  expect(await statusOf(`library/first/manifests/${first}`)).toBe(200);
  expect(await statusOf(`mirror/ip6.xx1_5000/page/manifests/${page}`)).toBe(200);
  expect(await statusOf(`library/first/manifests/${page}`)).toBe(404);
  expect(await statusOf("library/first/tags/list")).toBe(404);
});

test("a node pushes nothing", async () => {
  await using api = await startApi();
  const token = await aToken(api.db, { kind: "node", project: api.project, node: "local" });

  const answer = await pull(api, token, "library/nginx/blobs/uploads/", {}, "POST");

  expect(answer.status).toBe(403);
  expect(await answer.json()).toMatchObject({ errors: [{ code: "DENIED" }] });
});
