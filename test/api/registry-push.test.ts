import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import { ensureProject } from "../../db/access/projects.ts";
import type { Scope } from "../../db/schema/core.ts";
import { exec } from "../../kit/exec.ts";
import { aToken, startApi, type TestApi } from "../support/api.ts";
import { digestOf, OCI_MANIFEST, pushImage } from "../support/pushed-image.ts";
import { startRegistry, type TestRegistry } from "../support/registry.ts";

type World = AsyncDisposable & { readonly api: TestApi; readonly registry: TestRegistry };

async function world(config: { maxArtifactBytes?: number } = {}): Promise<World> {
  const registry = await startRegistry();
  const api = await startApi({ registryUrl: registry.url, config });
  return {
    ...{ api, registry },
    [Symbol.asyncDispose]: async () => {
      await api[Symbol.asyncDispose]();
      await registry[Symbol.asyncDispose]();
    },
  };
}

const hostOf = ({ api }: World) => api.url.replace("http://", "");
const soon = () => AbortSignal.timeout(10_000);

/** One request to /v2 as the programs make it: Basic, with any user and the token as password. */
async function ask({ api }: World, method: string, path: string, options: Asked = {}) {
  const url = new URL(path, api.url);
  const answer = await fetch(url, {
    ...{ method, redirect: "manual" as const },
    headers: {
      authorization: `Basic ${btoa(`anyone:${options.token ?? api.token}`)}`,
      accept: `${OCI_MANIFEST}, */*`,
      ...options.headers,
    },
    ...(options.body !== undefined && { body: options.body, duplex: "half" as const }),
  });
  const text = await answer.text();
  return { status: answer.status, headers: answer.headers, text };
}

type Asked = {
  readonly token?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>;
};

const codeOf = (answer: { text: string }): unknown => JSON.parse(answer.text).errors[0].code;
const locationOf = (answer: { headers: Headers }) => answer.headers.get("location") ?? "";

async function put(it: World, repository: string, bytes: Buffer<ArrayBuffer>): Promise<number> {
  const begun = await ask(it, "POST", `/v2/${repository}/blobs/uploads/`);
  const sent = await ask(it, "PATCH", locationOf(begun), { body: new Uint8Array(bytes) });
  const end = new URL(locationOf(sent), it.api.url);
  end.searchParams.set("digest", digestOf(bytes));
  return (await ask(it, "PUT", end.pathname + end.search)).status;
}

test("buildah pushes an image that it made, and a second time pushes nothing anew", {
  timeout: 60_000,
}, async () => {
  await using it = await world();
  const folder = await mkdtemp(join(tmpdir(), "waybill-buildah-"));
  const storage = ["--root", `${folder}/root`, "--runroot", `${folder}/run`];
  const buildah = async (...argv: readonly string[]) => {
    const options = { timeoutMs: 30_000, env: { HOME: folder } };
    const flags = [...storage, "--storage-driver", "vfs", ...argv];
    return (await exec("/usr/bin/buildah", flags, options)).stdout.trim();
  };
  try {
    await writeFile(join(folder, "page"), "hello\n");
    const container = await buildah("from", "scratch");
    await buildah("copy", container, join(folder, "page"), "/page");
    await buildah("config", "--port", "80", "--user", "7", "--entrypoint", '["/x"]', container);
    await buildah("commit", container, "made:1");
    const push = () =>
      buildah(
        ...["push", "--tls-verify=false", "--creds", `anyone:${it.api.token}`],
        ...["made:1", `docker://${hostOf(it)}/team/web:1`],
      );

    await push();
    await push();

    const digest = await it.registry.client.manifestDigest("team/web", "1", soon());
    const { bytes } = await it.registry.client.manifest("team/web", "1", soon());
    const { config, layers } = JSON.parse(bytes.toString());
    for (const blob of [config, ...layers]) {
      const { status, text } = await ask(it, "GET", `/v2/team/web/blobs/${blob.digest}`);
      expect([status, text.length > 0]).toEqual([200, true]);
    }
    expect(layers).toHaveLength(1);
    const audits = await it.api.db.execute(
      sql`select action, object, after, result from audit order by object`,
    );
    const row = { action: "image.push", after: digest, result: "done" };
    expect([...audits]).toEqual(Array(2).fill({ ...row, object: "image:team/web:1" }));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test("skopeo copies an image in and out, with its digest", { timeout: 60_000 }, async () => {
  await using it = await world();
  await using far = await startRegistry();
  const digest = await pushImage(far.url, "nginx", {
    layers: [Buffer.alloc(3_000_000, "a"), Buffer.from("b")],
  });
  const folder = await mkdtemp(join(tmpdir(), "waybill-skopeo-"));
  const skopeo = (...argv: readonly string[]) =>
    exec("/usr/bin/skopeo", argv, { timeoutMs: 30_000, env: { HOME: folder } });
  const creds = `anyone:${it.api.token}`;
  const here = `docker://${hostOf(it)}/library/nginx`;
  try {
    await skopeo(
      ...["copy", "--preserve-digests", "--src-tls-verify=false"],
      ...["--dest-tls-verify=false", "--dest-creds", creds],
      ...[`docker://${far.url.replace("http://", "")}/nginx:latest`, `${here}:1.27`],
    );
    const out = join(folder, "out");
    const pull = ["--src-tls-verify=false", "--src-creds", creds];
    await skopeo("copy", ...pull, `${here}@${digest}`, `dir:${out}`);
    const tags = await skopeo("list-tags", "--tls-verify=false", "--creds", creds, here);

    expect(await it.registry.client.manifestDigest("library/nginx", "1.27", soon())).toBe(digest);
    expect(JSON.parse(tags.stdout).Tags).toEqual(["1.27"]);
    expect(existsSync(join(out, "manifest.json"))).toBe(true);
    await expect(
      skopeo(
        "copy",
        ...pull,
        "--dest-tls-verify=false",
        "--dest-creds",
        creds,
        `${here}:1.27`,
        `docker://${hostOf(it)}/base/tomcat:1`,
      ),
    ).rejects.toThrow(/denied.*Waybill itself fills/i);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test("without a token there is a challenge that docker's programs understand", async () => {
  await using it = await world();

  const answer = await fetch(`${it.api.url}/v2/`);
  const wrong = await ask(it, "GET", "/v2/", { token: "hunter2" });

  expect(answer.status).toBe(401);
  expect(answer.headers.get("www-authenticate")).toBe('Basic realm="waybill"');
  expect(answer.headers.get("docker-distribution-api-version")).toBe("registry/2.0");
  expect(await answer.json()).toMatchObject({ errors: [{ code: "UNAUTHORIZED" }] });
  expect(wrong.status).toBe(401);
});

test.each([
  "base/tomcat",
  "mirror/docker.io/library/nginx",
  "apps/default/shop",
  "artifacts/default",
  "apps",
])("what Waybill itself fills is never pushed to: %s", async (repository) => {
  await using it = await world();
  const digest = digestOf(Buffer.from("x"));

  const answers = [
    await ask(it, "POST", `/v2/${repository}/blobs/uploads/`),
    await ask(it, "PATCH", `/v2/${repository}/blobs/uploads/abc`, { body: "x" }),
    await ask(it, "PUT", `/v2/${repository}/blobs/uploads/abc?digest=${digest}`, { body: "x" }),
    await ask(it, "PUT", `/v2/${repository}/manifests/1`, { body: "{}" }),
  ];

  expect(answers.map(({ status }) => status)).toEqual([403, 403, 403, 403]);
  expect(answers.map(codeOf)).toEqual(Array(4).fill("DENIED"));
  const denied = await it.api.db.execute(sql`select distinct action, result from audit`);
  expect([...denied]).toEqual([{ action: "image.push", result: "denied" }]);
});

test("a token pushes with app:deploy, and pulls with that or app:read", async () => {
  await using it = await world();
  const { db, project } = it.api;
  const digest = await pushImage(it.registry.url, "library/nginx");
  const withScope = (...scopes: readonly Scope[]) =>
    aToken(db, { kind: "service", project, scopes });
  const reader = await withScope("app:read");
  const writer = await withScope("app:deploy");
  const other = await withScope("audit:read");
  const manifest = `/v2/library/nginx/manifests/${digest}`;
  const uploads = "/v2/library/nginx/blobs/uploads/";
  const statusesOf = async (token: string) => [
    (await ask(it, "GET", "/v2/", { token })).status,
    (await ask(it, "GET", manifest, { token })).status,
    (await ask(it, "HEAD", manifest, { token })).status,
    (await ask(it, "POST", uploads, { token })).status,
  ];

  expect(await statusesOf(reader)).toEqual([200, 200, 200, 403]);
  expect(await statusesOf(writer)).toEqual([200, 200, 200, 202]);
  expect(await statusesOf(other)).toEqual([403, 403, 403, 403]);
});

test("another project's images are not there: to read, to list, or to mount a blob of", async () => {
  await using it = await world();
  const layer = Buffer.from("of the default project");
  const digest = await pushImage(it.registry.url, "apps/default/shop", { layers: [layer] });
  const project = await ensureProject(it.api.db, "other");
  const stranger = await aToken(it.api.db, { kind: "personal", project });
  const manifest = `/v2/apps/default/shop/manifests/${digest}`;
  const mount = `/v2/team/copy/blobs/uploads/?mount=${digestOf(layer)}&from=apps/default/shop`;

  const own = await ask(it, "GET", manifest);
  const foreign = await ask(it, "GET", manifest, { token: stranger });
  const random = await ask(it, "GET", manifest.replace("shop", "none"), { token: stranger });
  const tags = await ask(it, "GET", "/v2/apps/default/shop/tags/list", { token: stranger });
  const mounted = await ask(it, "POST", mount, { token: stranger });
  const ownMount = await ask(it, "POST", mount);

  expect(own.status).toBe(200);
  expect([foreign.status, random.status, tags.status]).toEqual([404, 404, 404]);
  expect(foreign.text).toBe(random.text);
  expect(mounted.status).toBe(202);
  expect(ownMount.status).toBe(201);
  expect(locationOf(ownMount)).toBe(`/v2/team/copy/blobs/${digestOf(layer)}`);
});

test("an upload goes on below the api's own address, and can be asked for, ended and given up", async () => {
  await using it = await world();
  const bytes = Buffer.from("0123456789");

  const begun = await ask(it, "POST", "/v2/team/web/blobs/uploads/");
  const first = await ask(it, "PATCH", locationOf(begun), { body: "01234" });
  const state = await ask(it, "GET", locationOf(first));
  const ending = new URL(locationOf(first), it.api.url);
  ending.searchParams.set("digest", digestOf(bytes));
  const ended = await ask(it, "PUT", ending.pathname + ending.search, { body: "56789" });
  const other = await ask(it, "POST", "/v2/team/web/blobs/uploads/");
  const givenUp = await ask(it, "DELETE", locationOf(other));
  const afterwards = await ask(it, "PATCH", locationOf(other), { body: "0" });

  for (const answer of [begun, first, state]) {
    expect(locationOf(answer)).toMatch(/^\/v2\/team\/web\/blobs\/uploads\/[^/]+\?_state=/);
  }
  expect(state.headers.get("range")).toBe("0-4");
  expect(ended.status).toBe(201);
  expect(locationOf(ended)).toBe(`/v2/team/web/blobs/${digestOf(bytes)}`);
  expect((await ask(it, "GET", locationOf(ended))).text).toBe("0123456789");
  expect([givenUp.status, afterwards.status]).toEqual([204, 404]);
});

test("a blob may be as large as an upload of this installation, however it is cut", async () => {
  await using it = await world({ maxArtifactBytes: 1_000 });
  const flood = () =>
    new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new Uint8Array(10_000)),
    });
  const begin = async () => locationOf(await ask(it, "POST", "/v2/team/web/blobs/uploads/"));
  const half = new Uint8Array(600);

  const whole = await ask(it, "PATCH", await begin(), { body: new Uint8Array(1_001) });
  const endless = await ask(it, "PATCH", await begin(), { body: flood() }).catch(() => "cut");
  const first = await ask(it, "PATCH", await begin(), { body: half });
  const second = await ask(it, "PATCH", locationOf(first), { body: half });

  expect([whole.status, codeOf(whole)]).toEqual([413, "SIZE_INVALID"]);
  if (endless !== "cut") expect(endless).toMatchObject({ status: 413 });
  expect([first.status, second.status]).toEqual([202, 413]);
  expect(await put(it, "team/web", Buffer.alloc(1_000))).toBe(201);
});

test("what the registry finds wrong is told in its own words", async () => {
  await using it = await world();
  const begun = await ask(it, "POST", "/v2/team/web/blobs/uploads/");
  const end = new URL(locationOf(begun), it.api.url);
  end.searchParams.set("digest", digestOf(Buffer.from("other")));
  const headers = { "content-type": OCI_MANIFEST };
  const blob = { digest: digestOf(Buffer.from("gone")), size: 4 };
  const manifest = JSON.stringify({
    ...{ schemaVersion: 2, mediaType: OCI_MANIFEST, layers: [] },
    config: { mediaType: "application/vnd.oci.image.config.v1+json", ...blob },
  });
  const vast = new Uint8Array(4 * 1024 * 1024 + 1);
  const put = (body: string | Uint8Array<ArrayBuffer>) =>
    ask(it, "PUT", "/v2/team/web/manifests/1", { headers, body });

  const wrong = await ask(it, "PUT", end.pathname + end.search, { body: "bytes" });
  const lacking = await put(manifest);
  const garbage = await put("{");
  const large = await put(vast);

  expect([wrong.status, codeOf(wrong)]).toEqual([400, "DIGEST_INVALID"]);
  expect([lacking.status, codeOf(lacking)]).toEqual([400, "MANIFEST_BLOB_UNKNOWN"]);
  expect([garbage.status, codeOf(garbage)]).toEqual([400, "MANIFEST_INVALID"]);
  expect([large.status, codeOf(large)]).toEqual([413, "MANIFEST_INVALID"]);
  expect(await it.api.db.execute(sql`select 1 from audit`)).toHaveLength(0);
});

test.each([
  ["POST", "/v2/Team/web/blobs/uploads/"],
  ["POST", "/v2/team/../base/tomcat/blobs/uploads/"],
  ["POST", "/v2/team%2f..%2fbase/blobs/uploads/"],
  ["POST", `/v2/${"a".repeat(600)}/blobs/uploads/`],
  ["PUT", "/v2/team/web/manifests/-x"],
  ["GET", "/v2/_catalog"],
  ["GET", "/v2/team/web/blobs/sha512:00"],
])("what the protocol does not have is not passed on: %s %s", async (method, path) => {
  await using it = await world();

  const answer = await ask(it, method, path, method === "PUT" ? { body: "{}" } : {});

  expect([403, 404]).toContain(answer.status);
});

test("nothing that is stored is removed", async () => {
  await using it = await world();
  const digest = await pushImage(it.registry.url, "library/nginx");

  const answer = await ask(it, "DELETE", `/v2/library/nginx/manifests/${digest}`);

  expect([answer.status, codeOf(answer)]).toEqual([405, "UNSUPPORTED"]);
});
