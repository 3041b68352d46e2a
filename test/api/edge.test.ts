import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { expect, test } from "vitest";
import { insertArtifact } from "../../db/artifacts.ts";
import { type AskOptions, startApi } from "../support/api.ts";
import { aDigest } from "../support/declared.ts";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/free-port.ts";

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
