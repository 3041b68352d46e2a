import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { AppSpec } from "../../../../contract/app/app-spec.ts";
import { addressOf, ownAddresses } from "../../../../worker/build/images/own-addresses.ts";
import { RegistryUnreachable } from "../../../../worker/build/images/problem.ts";
import { resolveImages } from "../../../../worker/build/images/resolve.ts";
import { parseAllowed } from "../../../../worker/egress/policy.ts";
import { openEgress } from "../../../../worker/egress/request.ts";
import {
  digestOf,
  OCI_INDEX,
  OCI_MANIFEST,
  PLATFORM,
  pushImage,
  pushManifest,
} from "../../../support/pushed-image.ts";
import { startRegistry, type TestRegistry } from "../../../support/registry.ts";
import { startGate, withTokens } from "../../../support/registry-gate.ts";

const API = { host: "127.0.0.1", port: 7070 };

/** Resolves as a worker would, whose own registry is `own`. */
async function resolve(
  own: TestRegistry,
  source: object,
  told: string[] = [],
  neighbours: readonly string[] = [],
) {
  const spec = AppSpec.parse({ name: "shop", ...source });
  if ("war" in spec) return expect.fail("a WAR names no image");
  const deps = {
    registry: own.client,
    egress: openEgress(parseAllowed("") ?? expect.fail()),
    reader: { project: "default", ownAddresses: ownAddresses([API, addressOf(own.url)]) },
    platform: PLATFORM,
    neighbours,
    tell: async (message: string) => void told.push(message),
    signal: AbortSignal.timeout(15_000),
  };
  return await resolveImages(deps, spec);
}

const hostOf = (registry: TestRegistry) => registry.url.replace("http://", "");
const podOf = (spec: object) => ({
  pod: { apiVersion: "v1", kind: "Pod", metadata: { name: "shop" }, spec },
});

test("a name without a registry is looked for in Waybill's own: in library, then as it stands", async () => {
  await using own = await startRegistry();
  const nginx = await pushImage(own.url, "library/nginx", {
    settings: { ExposedPorts: { "80/tcp": {} } },
  });
  const api = await pushImage(own.url, "team/api", { tag: "1.4" });
  const tool = await pushImage(own.url, "tool");

  expect(await resolve(own, { image: "nginx" })).toEqual({
    kind: "resolved",
    images: { nginx: `library/nginx@${nginx}` },
    ...{ repository: "library/nginx", image: nginx, httpPort: 80 },
  });
  expect(await resolve(own, { image: "team/api:1.4" })).toMatchObject({
    images: { "team/api:1.4": `team/api@${api}` },
    httpPort: null,
  });
  expect(await resolve(own, { image: "tool" })).toMatchObject({ repository: "tool", image: tool });
});

test("an address of the api or of the registry behind it is Waybill's own registry, with its rules", async () => {
  await using own = await startRegistry();
  const nginx = await pushImage(own.url, "library/nginx");
  await pushImage(own.url, "apps/other/shop");

  for (const host of ["127.0.0.1:7070", "localhost:7070", hostOf(own)]) {
    const image = `${host}/library/nginx`;
    expect(await resolve(own, { image })).toMatchObject({
      images: { [image]: `library/nginx@${nginx}` },
    });
    expect(await resolve(own, { image: `${host}/apps/other/shop` })).toMatchObject({
      kind: "refused",
      slug: "image-not-found",
    });
  }
});

test("a page of health is asked for at a port that somebody names", async () => {
  await using own = await startRegistry();
  await pushImage(own.url, "library/quiet");
  const health = { path: "/status" };

  expect(await resolve(own, { image: "quiet", http: { health } })).toEqual({
    kind: "refused",
    slug: "http-port-missing",
    message:
      "http.health wants /status asked for, and the image exposes no TCP port: name one in http.port",
  });
  expect(await resolve(own, { image: "quiet", http: { health, port: 80 } })).toMatchObject({
    httpPort: 80,
  });
});

test("every image of a pod is resolved, those of init containers and volumes as well", async () => {
  await using own = await startRegistry();
  const web = await pushImage(own.url, "library/web");
  const first = await pushImage(own.url, "library/first");
  const page = await pushImage(own.url, "library/page");

  const resolved = await resolve(
    own,
    podOf({
      initContainers: [{ name: "first", image: "first" }],
      containers: [{ name: "web", image: "web", ports: [{ containerPort: 8081 }] }],
      volumes: [{ name: "page", image: { reference: "page" } }],
    }),
  );

  expect(resolved).toEqual({
    kind: "resolved",
    images: {
      web: `library/web@${web}`,
      first: `library/first@${first}`,
      page: `library/page@${page}`,
    },
    ...{ repository: "library/web", image: web, httpPort: 8_081 },
  });
});

test("an image of another registry is copied by digest, and not fetched again", async () => {
  await using own = await startRegistry();
  await using far = await startRegistry();
  await using gate = await startGate(far.url);
  const layers = [randomBytes(300_000), randomBytes(10), randomBytes(3_000_000)];
  const pushed = await pushImage(far.url, "team/api", { tag: "2", layers });
  const image = `${gate.host}/team/api:2`;
  const told: string[] = [];

  const resolved = await resolve(own, { image }, told);
  const fetched = gate.asked.filter((it) => it.startsWith("GET") && it.includes("/blobs/")).length;
  const again = await resolve(own, { image });

  const repository = `mirror/${gate.host.replace(":", "_")}/team/api`;
  expect(resolved).toMatchObject({ images: { [image]: `${repository}@${pushed}` } });
  expect(again).toEqual(resolved);
  expect(told.at(-1)).toBe(`copying ${image}: 4 of 4 layers, 3.3 of 3.3 MB`);
  const copy = await own.client.manifest(repository, pushed, AbortSignal.timeout(5_000));
  expect(copy.digest).toBe(pushed);
  for (const layer of layers) {
    const there = own.client.hasBlob(repository, digestOf(layer), AbortSignal.timeout(5_000));
    expect(await there).toBe(true);
  }
  // The config is read once to be looked at, and once to be copied.
  expect(fetched).toBe(5);
  for (const layer of layers) {
    // Once for its size, and once for its bytes.
    expect(gate.asked.filter((it) => it.includes(digestOf(layer)))).toHaveLength(2);
  }
});

test("what was copied once runs by its digest when its registry is gone", async () => {
  await using own = await startRegistry();
  await using far = await startRegistry();
  let isAway = false;
  await using gate = await startGate(far.url, (_, answer) => {
    if (isAway) answer.destroy();
    return isAway;
  });
  const digest = await pushImage(far.url, "api");
  const image = `${gate.host}/api@${digest}`;
  const before = await resolve(own, { image });

  isAway = true;

  expect(await resolve(own, { image })).toEqual(before);
  await expect(resolve(own, { image: `${gate.host}/api` })).rejects.toThrow(RegistryUnreachable);
});

test("so does what was copied by the digest of its index, whatever its tag is by then", async () => {
  await using own = await startRegistry();
  await using far = await startRegistry();
  let isAway = false;
  await using gate = await startGate(far.url, (_, answer) => {
    if (isAway) answer.destroy();
    return isAway;
  });
  const digest = await pushImage(far.url, "api", { tag: "amd" });
  const index = await pushManifest(far.url, "api", "1", {
    ...{ schemaVersion: 2, mediaType: OCI_INDEX },
    manifests: [{ mediaType: OCI_MANIFEST, digest, size: 500, platform: PLATFORM }],
  });
  const image = `${gate.host}/api:1@${index}`;
  const before = await resolve(own, { image });
  expect(before).toMatchObject({ image: digest });

  await pushImage(far.url, "api", { tag: "1", layers: [randomBytes(9)] });
  expect(await resolve(own, { image })).toEqual(before);
  isAway = true;
  expect(await resolve(own, { image })).toEqual(before);
});

test("a layer that a neighbour has is mounted, and not fetched", async () => {
  await using own = await startRegistry();
  await using far = await startRegistry();
  await using gate = await startGate(far.url);
  const base = randomBytes(100_000);
  await pushImage(own.url, "mirror/elsewhere/base", { layers: [base] });
  await pushImage(far.url, "api", { layers: [base, randomBytes(10)] });

  await resolve(own, { image: `${gate.host}/api` }, [], ["mirror/elsewhere/base"]);

  expect(gate.asked.filter((it) => it.includes(digestOf(base)))).toEqual([]);
});

test("an index gives the image of this platform, and a nested one is refused", async () => {
  await using own = await startRegistry();
  const fits = await pushImage(own.url, "library/many", { tag: "fits" });
  const other = await pushImage(own.url, "library/many", {
    tag: "other",
    platform: { os: "linux", architecture: "s390x" },
  });
  const entry = (digest: string, platform: object) => ({
    ...{ mediaType: OCI_MANIFEST, digest, size: 500, platform },
  });
  const index = await pushManifest(own.url, "library/many", "latest", {
    ...{ schemaVersion: 2, mediaType: OCI_INDEX },
    manifests: [entry(other, { os: "linux", architecture: "s390x" }), entry(fits, PLATFORM)],
  });
  await pushManifest(own.url, "library/many", "nested", {
    ...{ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [entry(index, PLATFORM)] },
  });

  expect(await resolve(own, { image: "many" })).toMatchObject({ image: fits });
  expect(await resolve(own, { image: `many@${index}` })).toMatchObject({ image: fits });
  expect(await resolve(own, { image: "many:other" })).toMatchObject({
    slug: "image-platform-missing",
  });
  expect(await resolve(own, { image: "many:nested" })).toMatchObject({
    slug: "image-manifest-invalid",
    message: "many:nested: its index names another index",
  });
});

test("localhost is spoken to over plain HTTP, and a registry without an address not at all", async () => {
  await using own = await startRegistry();
  await using far = await startRegistry();
  const digest = await pushImage(far.url, "api");
  const port = hostOf(far).split(":")[1];

  expect(await resolve(own, { image: `localhost:${port}/api` })).toMatchObject({
    images: { [`localhost:${port}/api`]: `mirror/localhost_${port}/api@${digest}` },
  });
  expect(await resolve(own, { image: "[::::]:5000/api" })).toMatchObject({
    slug: "image-name-refused",
    message: "[::::]:5000/api: [::::]:5000 is no address",
  });
});

test("a token for the anonymous is fetched where a registry asks for one", async () => {
  await using own = await startRegistry();
  await using far = await startRegistry();
  await using gate = await startGate(
    far.url,
    withTokens(() => gate.host),
  );
  const digest = await pushImage(far.url, "team/api");

  const resolved = await resolve(own, { image: `${gate.host}/team/api` });

  expect(resolved).toMatchObject({ kind: "resolved", image: digest });
  expect(gate.asked).toContain("GET /token?service=gate&scope=repository%3Ateam%2Fapi%3Apull");
});

test.each([
  "http://169.254.169.254/latest/meta-data",
  "https://10.0.0.1/token",
  "https://[::ffff:127.0.0.1]/token",
  "http://registry.example.com/token",
  "https://user:word@127.0.0.1/token",
  "file:///etc/passwd",
  "nowhere",
])("no token is asked for at %s", async (realm) => {
  await using own = await startRegistry();
  await using gate = await startGate(
    own.url,
    withTokens(
      () => gate.host,
      () => realm,
    ),
  );

  expect(await resolve(own, { image: `${gate.host}/api` })).toMatchObject({
    kind: "refused",
    slug: "image-name-refused",
    message: expect.stringContaining("was not asked: "),
  });
});

test("a registry that redirects into another network is not followed", async () => {
  await using own = await startRegistry();
  await using gate = await startGate(own.url, (_, answer) => {
    answer.writeHead(307, { location: "https://10.0.0.1/v2/" }).end();
    return true;
  });

  expect(await resolve(own, { image: `${gate.host}/api` })).toMatchObject({
    slug: "image-name-refused",
    message: expect.stringContaining("10.0.0.1 is not public"),
  });
});

test("everything that is wrong is named at once, with every place that was asked", async () => {
  await using own = await startRegistry();
  await using far = await startRegistry();
  await using gate = await startGate(far.url, (_, answer) => {
    answer.writeHead(401, { "www-authenticate": 'Basic realm="x"' }).end();
    return true;
  });
  await pushImage(own.url, "library/fine");
  const image = (name: string, at: number) => ({ name: `c${at}`, image: name });
  const names = [
    ...["fine", `${hostOf(far)}/nope`, `${gate.host}/secret`, "127.0.0.1:7070/gone:1"],
    ...["10.0.0.1/api", "localhost:1/api"],
  ];

  const resolved = await resolve(own, podOf({ containers: names.map(image) }));

  expect(resolved).toEqual({
    kind: "refused",
    slug: "image-not-found",
    message: [
      `${hostOf(far)}/nope: ${hostOf(far)} has no such image`,
      `${gate.host}/secret: ${gate.host} shows it to nobody without a login, or has no such image`,
      "127.0.0.1:7070/gone:1: Waybill's own registry (gone) has no such image",
      "10.0.0.1/api: 10.0.0.1 was not asked: its address 10.0.0.1 is not public; an operator may allow it by WAYBILL_REGISTRIES_ALLOWED",
      "localhost:1/api: localhost:1 was not asked: port 1 is not one of a registry",
    ].join(". "),
  });
});

test("a tag and a digest that do not go together are a mistake", async () => {
  await using own = await startRegistry();
  const first = await pushImage(own.url, "library/api", { tag: "1", layers: [randomBytes(9)] });
  const second = await pushImage(own.url, "library/api", { tag: "2", layers: [randomBytes(9)] });

  expect(await resolve(own, { image: `api:1@${first}` })).toMatchObject({ image: first });
  expect(await resolve(own, { image: `api:1@${second}` })).toMatchObject({
    slug: "image-digest-mismatch",
    message: expect.stringContaining(first),
  });
});

test("a registry that answers a digest with other bytes is not believed", async () => {
  await using own = await startRegistry();
  await using far = await startRegistry();
  const wanted = await pushImage(far.url, "api", { tag: "1" });
  await pushImage(far.url, "api", { tag: "2", layers: [randomBytes(9)] });
  const other = await far.client.manifest("api", "2", AbortSignal.timeout(5_000));
  await using gate = await startGate(far.url, (_, answer) => {
    answer.writeHead(200, { "content-type": OCI_MANIFEST }).end(other.bytes);
    return true;
  });

  expect(await resolve(own, { image: `${gate.host}/api@${wanted}` })).toMatchObject({
    slug: "image-digest-mismatch",
    message: expect.stringContaining(`its bytes are those of ${other.digest}`),
  });
});

const LAYER = randomBytes(50_000);

test.each<[string, string, object]>([
  ["that its registry contradicts before it is fetched", "by its manifest", { size: 10 }],
  ["of another digest's bytes", "are those of", { digest: digestOf(Buffer.from("other")) }],
])("no layer is copied %s", async (_, words, lie) => {
  await using own = await startRegistry();
  await using far = await startRegistry();
  await pushImage(far.url, "api", { layers: [LAYER] });
  const honest = await far.client.manifest("api", "latest", AbortSignal.timeout(5_000));
  const document = JSON.parse(honest.bytes.toString());
  document.layers[0] = { ...document.layers[0], ...lie };
  const forged = JSON.stringify(document);
  await using gate = await startGate(far.url, (request, answer) => {
    if (request.url?.includes("/manifests/")) {
      answer.writeHead(200, { "content-type": OCI_MANIFEST }).end(forged);
      return true;
    }
    if (!request.url?.includes(document.layers[0].digest)) return false;
    answer.writeHead(200, { "content-length": LAYER.length });
    answer.end(request.method === "HEAD" ? undefined : LAYER);
    return true;
  });

  const resolved = await resolve(own, { image: `${gate.host}/api` });

  expect(resolved).toMatchObject({ kind: "refused", message: expect.stringContaining(words) });
  const repository = `mirror/${gate.host.replace(":", "_")}/api`;
  const signal = AbortSignal.timeout(5_000);
  expect(await own.client.manifestDigest(repository, digestOf(Buffer.from(forged)), signal)).toBe(
    undefined,
  );
});

test("a layer that ends too early is no fault of the image's: it may come whole the next time", async () => {
  await using own = await startRegistry();
  await using far = await startRegistry();
  await pushImage(far.url, "api", { layers: [LAYER] });
  await using gate = await startGate(far.url, (request, answer) => {
    if (request.method !== "GET" || !request.url?.includes(digestOf(LAYER))) return false;
    answer.writeHead(200).write(LAYER.subarray(0, 20_000));
    setImmediate(() => answer.destroy());
    return true;
  });

  await expect(resolve(own, { image: `${gate.host}/api` })).rejects.toThrow(RegistryUnreachable);
});
