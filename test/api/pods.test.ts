import { readFileSync } from "node:fs";
import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import { insertArtifact } from "../../db/apps/artifacts.ts";
import { startApi, type TestApi } from "../support/api.ts";
import { aDigest } from "../support/declared.ts";

const YAML = { "content-type": "application/yaml" };
const example = (name: string) =>
  readFileSync(new URL(`../../examples/${name}`, import.meta.url), "utf8");
const DATA_ALLOWED = { hostPolicy: { paths: ["/data"], ports: [] } };

const put = (api: TestApi, name: string, json: object, query = "") =>
  api.ask(`/v1/apps/${name}${query}`, { method: "PUT", json });
const apply = (api: TestApi, body: string, query = "") =>
  api.ask(`/v1/apply${query}`, { method: "POST", body, headers: YAML });
const bare = (more: object = {}, container: object = {}) => ({
  pod: { containers: [{ name: "web", image: "nginx", ...container }], ...more },
});
const configMap = (text: string) =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: settings }\ndata: { key: ${text} }\n`;
const wantsConfigMap = bare(
  {},
  { env: [{ name: "A", valueFrom: { configMapKeyRef: { name: "settings", key: "key" } } }] },
);

test("helloworld.yaml is answered with its four mistakes, and nothing changes", async () => {
  await using api = await startApi();

  const applied = await apply(api, example("helloworld.yaml"));
  const declared = await api.ask("/v1/apps/helloworld", {
    method: "PUT",
    body: example("helloworld.yaml"),
    headers: YAML,
  });

  for (const answer of [applied, declared]) {
    expect(answer.status).toBe(422);
    expect(answer.body.errors.map((it: { pointer: string }) => it.pointer).sort()).toEqual([
      "/spec/containers/2/volumeMounts/0/mountPath",
      "/spec/containers/2/volumeMounts/0/name",
      "/spec/containers/3/volumeMounts/0/mountPath",
      "/spec/containers/3/volumeMounts/0/name",
    ]);
  }
  expect((await api.ask("/v1/apps/helloworld")).status).toBe(404);
});

test("two-containers.yaml makes an app of its name, however it is sent", async () => {
  await using api = await startApi({ config: DATA_ALLOWED });
  const text = example("two-containers.yaml");

  const applied = await apply(api, text);
  const declared = await api.ask("/v1/apps/two-containers", {
    method: "PUT",
    body: text,
    headers: YAML,
  });
  const read = await api.ask("/v1/apps/two-containers");
  const again = await put(api, "two-containers", read.body.spec);
  const other = await api.ask("/v1/apps/other", { method: "PUT", body: text, headers: YAML });

  expect(applied.body).toEqual({
    applied: [
      {
        app: "two-containers",
        release: 1,
        phase: "pending",
        digest: null,
        url: null,
        unchanged: false,
      },
    ],
  });
  expect(declared.body).toMatchObject({ release: 1, unchanged: true });
  expect(read.body).toMatchObject({ name: "two-containers", url: null, wanted: 1 });
  expect(again.body).toMatchObject({ release: 1, unchanged: true });
  expect(other.body.errors).toEqual([
    { pointer: "/metadata/name", message: 'must be "other", as in the path' },
  ]);
});

test("a host path that the operator does not allow is refused, a dry run included", async () => {
  await using api = await startApi();
  const error = {
    pointer: "/spec/volumes/0/hostPath/path",
    message: "host-paths: /data is not allowed; the operator allows: none",
  };

  for (const query of ["", "?dryRun=true"]) {
    const answer = await apply(api, example("two-containers.yaml"), query);
    expect(answer.body.errors).toEqual([error]);
  }
});

test("an app answers at an address as far as it is known to take requests", async () => {
  await using api = await startApi();
  const url = async (name: string, spec: object) => (await put(api, name, spec)).body.url;
  const at = (name: string) => `http://${name}.localhost:8080/`;

  expect(await url("silent", bare())).toBeNull();
  expect(await url("named", bare({}, { ports: [{ containerPort: 80 }] }))).toBe(at("named"));
  const udp = { ports: [{ containerPort: 53, protocol: "UDP" }] };
  expect(await url("udp", bare({}, udp))).toBeNull();
  expect(await url("told", { ...bare(), http: { port: 81 } })).toBe(at("told"));
  expect(await url("image", { image: "nginx" })).toBeNull();
  await api.db.execute(sql`update releases set phase = 'live', http_port = 80`);
  expect((await api.ask("/v1/apps/image")).body.url).toBe(at("image"));
  expect((await put(api, "image", { image: "nginx" })).body.url).toBe(at("image"));
});

test("a release says what it froze", async () => {
  await using api = await startApi();
  await apply(api, configMap("one"));
  await put(api, "shop", wantsConfigMap);
  await api.db.execute(
    sql`update releases set images = '{"nginx": "mirror/nginx@sha256:1"}', http_port = 80`,
  );

  const { body } = await api.ask("/v1/apps/shop/releases/1");

  expect(body).toMatchObject({
    images: { nginx: "mirror/nginx@sha256:1" },
    materials: { secrets: {}, configMaps: { settings: 1 } },
    httpPort: 80,
    newPods: false,
  });
});

test("the same spec with another config map is another release", async () => {
  await using api = await startApi();
  await apply(api, configMap("one"));

  const first = await put(api, "shop", wantsConfigMap);
  const same = await put(api, "shop", wantsConfigMap);
  await apply(api, configMap("two"));
  const planned = await put(api, "shop", wantsConfigMap, "?dryRun=true");
  const other = await put(api, "shop", wantsConfigMap);

  expect(first.body.release).toBe(1);
  expect(same.body).toMatchObject({ release: 1, unchanged: true });
  expect(planned.body).toMatchObject({
    unchanged: false,
    changes: [{ pointer: "/materials/configMaps/settings", from: 1, to: 2 }],
  });
  expect(other.body).toMatchObject({ release: 2, unchanged: false });
  const { body } = await api.ask("/v1/apps/shop/releases/2");
  expect(body.materials.configMaps).toEqual({ settings: 2 });
});

test("what a pod names and nobody made is a mistake with a pointer; what may be missing is none", async () => {
  await using api = await startApi();
  const from = (source: object) => ({ env: [{ name: "A", valueFrom: source }] });
  const key = { name: "nope", key: "k" };

  const bareAnswer = await put(api, "shop", bare({}, from({ secretKeyRef: key })));
  const whole = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "shop" },
    spec: {
      containers: [{ name: "web", image: "nginx" }],
      volumes: [{ name: "a", configMap: { name: "nope" } }],
    },
  };
  const wholeAnswer = await apply(api, JSON.stringify(whole));
  const optional = from({ secretKeyRef: { ...key, optional: true } });

  expect(bareAnswer.body.errors.map((it: { pointer: string }) => it.pointer)).toEqual([
    "/pod/containers/0/env/0/valueFrom/secretKeyRef/name",
  ]);
  expect(wholeAnswer.body.errors.map((it: { pointer: string }) => it.pointer)).toEqual([
    "/spec/volumes/0/configMap/name",
  ]);
  expect((await put(api, "shop", bare({}, optional))).status).toBe(201);
});

test("what is missing is told of every document of a call at once, and of removed volumes too", async () => {
  await using api = await startApi();
  const claims = bare({ volumes: [{ name: "v", persistentVolumeClaim: { claimName: "data" } }] });
  await put(api, "old", claims);
  await api.ask("/v1/apps/old?wait=gone", { method: "DELETE" });
  await api.db.execute(sql`update volumes set removed_at = now()`);
  const war = { name: "b", war: { artifact: aDigest("e") } };

  const answer = await apply(
    api,
    [{ name: "a", ...claims }, war, { name: "c", ...wantsConfigMap }]
      .map((it) => JSON.stringify(it))
      .join("\n---\n"),
  );

  expect(answer.status).toBe(422);
  expect(answer.body.errors.map((it: { pointer: string }) => it.pointer).sort()).toEqual([
    "/0/pod/volumes/0/persistentVolumeClaim/claimName",
    "/1/war/artifact",
    "/2/pod/containers/0/env/0/valueFrom/configMapKeyRef/name",
  ]);
  expect((await api.ask("/v1/apps")).body.apps).toEqual([]);
});

test("the example of many containers is taken as it stands, its config map with it", async () => {
  await using api = await startApi();

  const planned = await apply(api, example("web-with-log-shipper.yaml"), "?dryRun=true");
  const taken = await apply(api, example("web-with-log-shipper.yaml"));

  expect(planned.body.applied).toMatchObject([{ name: "web-config" }, { dryRun: true }]);
  expect(taken.body.applied).toMatchObject([
    { kind: "ConfigMap", name: "web-config", version: 1 },
    { app: "web-with-log-shipper", release: 1, url: "http://web-with-log-shipper.localhost:8080/" },
  ]);
});

test("a restart is a release of what should serve, with new pods, once for each key", async () => {
  await using api = await startApi();
  await apply(api, configMap("one"));
  await put(api, "shop", wantsConfigMap);
  await api.db.execute(sql`update releases set phase = 'live'`);
  await put(api, "shop", { ...wantsConfigMap, replicas: 2 });
  await api.db.execute(sql`update releases set phase = 'failed' where number = 2`);
  await apply(api, configMap("two"));
  const restart = () =>
    api.ask("/v1/apps/shop/restart", {
      method: "POST",
      headers: { "idempotency-key": "once" },
    });

  const first = await restart();
  const again = await restart();

  expect(first.status).toBe(200);
  expect(first.body).toMatchObject({ app: "shop", release: 3, unchanged: false });
  expect(again.body).toEqual(first.body);
  const { body } = await api.ask("/v1/apps/shop/releases/3");
  expect(body).toMatchObject({
    spec: { replicas: 1 },
    materials: { configMaps: { settings: 2 } },
    newPods: true,
  });
  const audit = await api.db.execute(sql`select object from audit where action = 'app.restart'`);
  expect([...audit]).toEqual([{ object: "app:shop" }]);
  expect((await api.ask("/v1/apps/nope/restart", { method: "POST" })).status).toBe(404);
});

test("a restart that is waited for answers when it is over", async () => {
  await using api = await startApi();
  await put(api, "shop", bare());

  const answer = await api.ask("/v1/apps/shop/restart?wait=healthy&timeout=1", { method: "POST" });

  expect(answer.status).toBe(504);
  expect(answer.body).toMatchObject({ type: "/problems/wait-timeout", release: 2 });
});

test("an app that takes no requests is told to be live without an address", async () => {
  await using api = await startApi();
  await put(api, "shop", bare());
  await api.db.execute(sql`update releases set phase = 'live'`);

  const answer = await api.ask("/v1/apps/shop?wait=healthy", {
    method: "PUT",
    json: bare(),
    headers: { accept: "text/plain" },
  });

  expect(answer.text).toMatch(/live: release 1 of shop; it takes no requests\n$/);
});

test("an address that only the image could tell is in the answer to who waited", async () => {
  await using api = await startApi();
  await put(api, "shop", { image: "nginx" });
  await api.db.execute(sql`update releases set phase = 'live', http_port = 80`);

  const answer = await put(api, "shop", { image: "nginx" }, "?wait=healthy");

  expect(answer.body.url).toBe("http://shop.localhost:8080/");
});

test("an app of an image becomes one of a WAR; what every app has stays as it was", async () => {
  await using api = await startApi();
  await insertArtifact(api.db, { projectId: api.project, digest: aDigest("a"), sizeBytes: 1 });
  await put(api, "shop", { image: "nginx", replicas: 3 });

  const upload = await api.ask("/v1/apps/shop/war?dryRun=true", {
    method: "PUT",
    body: new TextEncoder().encode("a WAR"),
  });
  const declared = await put(api, "shop", { war: { artifact: aDigest("a") } });

  expect(upload.body.spec).toMatchObject({ name: "shop", replicas: 3, war: { contextPath: "/" } });
  expect(upload.body.spec.image).toBeUndefined();
  expect(declared.body).toMatchObject({ release: 2, url: "http://shop.localhost:8080/" });
});
