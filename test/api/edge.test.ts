import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sql } from "drizzle-orm";
import { build } from "esbuild";
import { expect, test } from "vitest";
import { DesiredState } from "../../contract/node/protocol.ts";
import { insertArtifact } from "../../db/apps/artifacts.ts";
import { openSealed } from "../../kit/sealed-box.ts";
import { A_KEY_FILE, type AskOptions, startApi } from "../support/api.ts";
import { aDigest } from "../support/declared.ts";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/free-port.ts";
import { aNodeKey, joined } from "../support/joined.ts";
import { aPodDocument, aSecret, fromSecret } from "../support/materials.ts";
import { place } from "../support/place.ts";
import { openTerminal } from "../support/terminal.ts";

/** The edge bundle in workerd, the open-source edge runtime, on a free port. */
async function startEdge(databaseUrl: string) {
  const folder = await mkdtemp(join(tmpdir(), "waybill-edge-"));
  await build({
    entryPoints: [new URL("../../api/edge.ts", import.meta.url).pathname],
    outfile: join(folder, "edge.js"),
    bundle: true,
    format: "esm",
    target: "es2024",
    conditions: ["workerd", "worker"],
    external: ["node:*", "cloudflare:*"],
    logLevel: "error",
  });
  const port = await freePort();
  await writeFile(join(folder, "config.capnp"), configText(port, databaseUrl));
  const child = spawn(workerdPath(), ["serve", join(folder, "config.capnp")], {
    env: {},
    stdio: ["ignore", "inherit", "inherit"],
  });
  const exited = once(child, "exit");
  return {
    url: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGKILL");
      await exited;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** The program itself; the package's own launcher would be one more process to stop. */
function workerdPath(): string {
  const packages = createRequire(import.meta.resolve("workerd"));
  return packages.resolve(
    `@cloudflare/workerd-linux-${process.arch === "x64" ? "64" : "arm64"}/bin/workerd`,
  );
}

function configText(port: number, databaseUrl: string): string {
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "api", worker = (
      modules = [(name = "edge", esModule = embed "edge.js")],
      compatibilityDate = "2026-01-01",
      compatibilityFlags = ["nodejs_compat"],
      bindings = [
        (name = "DATABASE_URL", text = ${JSON.stringify(databaseUrl)}),
        (name = "REGISTRY_URL", text = "http://127.0.0.1:9"),
        (name = "WAYBILL_SECRETS_KEY", text = ${JSON.stringify(A_KEY_FILE)}),
      ],
      globalOutbound = "loopback",
    )),
    (name = "loopback", network = (allow = ["private", "local"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "api")],
);
`;
}

test("the same api runs on an edge runtime, with PostgreSQL and nothing else", async () => {
  await using api = await startApi();
  await insertArtifact(api.db, { projectId: api.project, digest: aDigest("a"), sizeBytes: 1 });
  await using edge = await startEdge(api.pg.url);
  const ask = async (path: string, options: AskOptions = {}) => {
    const response = await fetch(edge.url + path, {
      method: options.method ?? "GET",
      headers: { authorization: `Bearer ${api.token}`, "content-type": "application/json" },
      ...(options.json !== undefined && { body: JSON.stringify(options.json) }),
    });
    return { status: response.status, body: await response.json() };
  };
  const spec = { war: { artifact: aDigest("a") } };

  const health = await eventually(() => ask("/healthz"), { withinMs: 15_000 });
  const planned = await ask("/v1/apps/shop?dryRun=true", { method: "PUT", json: spec });
  const declared = await ask("/v1/apps/shop", { method: "PUT", json: spec });
  const read = await ask("/v1/apps/shop");
  const waited = await ask("/v1/apps/shop?wait=healthy&timeout=1", { method: "PUT", json: spec });

  expect(health).toEqual({ status: 200, body: { ok: true } });
  expect(planned.body).toMatchObject({ dryRun: true, unchanged: false });
  expect(declared).toMatchObject({ status: 201, body: { app: "shop", release: 1 } });
  expect(read.body).toMatchObject({ name: "shop", generation: 1, wanted: 1 });
  expect(waited.status).toBe(504);
  expect((await api.ask("/v1/apps/shop")).body).toEqual(read.body);
});

test("the edge seals secrets at rest and to nodes as the api does, and each opens the other's", async () => {
  await using api = await startApi();
  await using edge = await startEdge(api.pg.url);
  const key = await aNodeKey();
  const node = await joined(api, "local", key.publicKey);
  const ask = async (path: string, token: string, json?: unknown) => {
    const response = await fetch(edge.url + path, {
      method: json === undefined ? "GET" : "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      ...(json !== undefined && { body: JSON.stringify(json) }),
    });
    return { status: response.status, body: await response.json() };
  };
  const documents = [
    aSecret("db", { password: "hunter2" }),
    aPodDocument("shop", fromSecret("db", "password")),
  ];
  await eventually(() => ask("/healthz", api.token), { withinMs: 15_000 });

  const there = await ask("/v1/apply", api.token, documents);
  const here = await api.ask("/v1/apply", { method: "POST", json: documents });
  const again = await ask("/v1/apply", api.token, documents);
  await place(api, "shop", node);
  const wish = DesiredState.parse((await ask("/v1/node/desired", node.token)).body);

  expect(there.body).toMatchObject({ applied: [{ version: 1, unchanged: false }, {}] });
  expect(here.body).toMatchObject({ applied: [{ version: 1, unchanged: true }, {}] });
  expect(again.body).toMatchObject({ applied: [{ version: 1, unchanged: true }, {}] });
  const [secret] = wish.secrets;
  const box = Buffer.from(secret?.sealed ?? "", "base64");
  const plain = await openSealed(key, box, "default/db.v1");
  expect(JSON.parse(Buffer.from(plain).toString())).toEqual({
    password: Buffer.from("hunter2").toString("base64"),
  });
});

test("a terminal works on the edge, with an agent that asks another api", async () => {
  await using api = await startApi();
  await using edge = await startEdge(api.pg.url);
  await eventually(() => fetch(`${edge.url}/healthz`), { withinMs: 15_000 });
  const key = await aNodeKey();
  const node = await joined(api, "local", key.publicKey);
  const spec = aPodDocument("shop");
  await api.ask("/v1/apply", { method: "POST", json: [spec] });
  await place(api, "shop", node);
  const asNode = (path: string, json?: unknown) =>
    api.ask(path, { token: node.token, ...(json !== undefined && { method: "POST", json }) });
  await api.db.execute(sql`insert into pod_status (pod_id, node_id, status)
    select id, node_id, jsonb_build_object('phase', 'Running', 'ready', true, 'containers',
      jsonb_build_array(jsonb_build_object('name', 'web', 'state', 'running'))) from pods`);

  using terminal = await openTerminal(`${edge.url}/v1/apps/shop/exec?command=sh`, api.token);
  const { body } = await eventually(async () => {
    const work = await asNode("/v1/node/execs?waitMs=1000");
    return work.body.sessions.length === 1 ? work : Promise.reject(new Error("no session"));
  });
  const [{ id }] = body.sessions;
  terminal.send(0, "hello");
  const input = await eventually(async () => {
    const { body } = await asNode(`/v1/node/execs/${id}/input?waitMs=1000`);
    return body.frames.length > 0 ? body : Promise.reject(new Error("no input"));
  });
  const frames = [Buffer.from("\x01to you").toString("base64")];
  await asNode(`/v1/node/execs/${id}/output`, { first: 1, frames, exit: { exitCode: 3 } });

  await terminal.until("to you");
  expect(terminal.protocol).toBe("v4.channel.k8s.io");
  expect(Buffer.from(input.frames[0].frame, "base64").toString()).toBe("\0hello");
  expect(await terminal.closed).toBe(1000);
  expect(terminal.said(3)).toContain('"message":"3"');
}, 60_000);
