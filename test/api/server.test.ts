import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { expect, test } from "vitest";
import { insertArtifact } from "../../db/apps/artifacts.ts";
import { startApi, type TestApi } from "../support/api.ts";
import { aDigest } from "../support/declared.ts";
import { eventually } from "../support/eventually.ts";
import { apply, aSecret } from "../support/materials.ts";
import { freshDb } from "../support/postgres.ts";

/** The first line that the server answers to these bytes; it must answer, or hang up, by itself. */
async function send(api: TestApi, text: string): Promise<string> {
  const socket = connect(Number(new URL(api.url).port), "127.0.0.1");
  let heard = "";
  socket.on("data", (chunk) => {
    heard += chunk;
  });
  socket.on("error", () => undefined);
  socket.write(text);
  await eventually(() => {
    if (heard === "" && !socket.closed) throw new Error("no answer");
  });
  socket.destroy();
  return heard.split("\r\n", 1)[0] ?? "";
}

test.each([
  ["two Host headers", "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"],
  ["no Host header", "GET /healthz HTTP/1.1\r\n\r\n"],
  ["a host with a space", "GET /healthz HTTP/1.1\r\nHost: a b\r\n\r\n"],
  ["a host with a user", "GET /healthz HTTP/1.1\r\nHost: a@b\r\n\r\n"],
  ["a port that is none", "GET /healthz HTTP/1.1\r\nHost: a:99999\r\n\r\n"],
  ["half an IPv6 address", "GET /healthz HTTP/1.1\r\nHost: [::1\r\n\r\n"],
  [
    "a length and chunks",
    "PUT /v1/apps/a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  ],
  ["a folded header", "GET /healthz HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n"],
  ["a space before the colon", "GET /healthz HTTP/1.1\r\nHost: a\r\nX : a\r\n\r\n"],
  ["an unknown coding", "GET /healthz HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n"],
])("a request with %s is a 400", async (_what, text) => {
  await using api = await startApi();

  expect(await send(api, text)).toMatch(/^HTTP\/1\.1 400 /);
});

test("headers of 20 KB are a 431, and the server goes on", async () => {
  await using api = await startApi();
  const long = `GET /healthz HTTP/1.1\r\nHost: a\r\nX: ${"x".repeat(20_000)}\r\n\r\n`;

  expect(await send(api, long)).toMatch(/^HTTP\/1\.1 431 /);
  expect((await api.ask("/healthz")).status).toBe(200);
});

test.each(["TRACE", "BREW", "PATCH"])("%s is answered with a 4xx", async (method) => {
  await using api = await startApi();

  expect(await send(api, `${method} /v1/apps HTTP/1.1\r\nHost: a\r\n\r\n`)).toMatch(
    /^HTTP\/1\.1 40[05] /,
  );
});

test("a GET with a body is refused", async () => {
  await using api = await startApi();
  const authorization = `Authorization: Bearer ${api.token}\r\n`;

  expect(
    await send(
      api,
      `GET /v1/apps HTTP/1.1\r\nHost: a\r\n${authorization}Content-Length: 2\r\n\r\n{}`,
    ),
  ).toMatch(/^HTTP\/1\.1 400 /);
});

test("a sender that pauses in its body is cut off, one that waits for its answer is not", async () => {
  await using api = await startApi({ bodyIdleMs: 1_000 });
  await insertArtifact(api.db, { projectId: api.project, digest: aDigest("a"), sizeBytes: 1 });
  const socket = connect(Number(new URL(api.url).port), "127.0.0.1");
  socket.on("error", () => undefined);
  socket.resume();
  socket.write(
    `PUT /v1/apps/a HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${api.token}\r\nContent-Length: 99\r\n\r\n{`,
  );

  const cut = once(socket, "close");
  const waited = await api.ask("/v1/apps/shop?wait=healthy&timeout=2", {
    method: "PUT",
    json: { war: { artifact: aDigest("a") } },
  });
  await cut;

  expect(waited.status).toBe(504);
});

test("the process ends within seconds of SIGTERM, whoever waits", async () => {
  await using pg = await freshDb();
  const child = spawn(process.execPath, [new URL("../../api/main.ts", import.meta.url).pathname], {
    env: {
      DATABASE_URL: pg.url,
      REGISTRY_URL: "http://127.0.0.1:9",
      WAYBILL_API_PORT: "0",
    },
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    let text = "";
    child.stdout.on("data", (chunk) => {
      text += chunk;
    });
    const port = await eventually(() => {
      const [, found] = /"api ready".*"port":(\d+)/.exec(text) ?? [];
      if (found === undefined) throw new Error("not ready");
      return Number(found);
    });
    const answer = await fetch(`http://127.0.0.1:${port}/healthz`);

    child.kill("SIGTERM");
    const [code] = await once(child, "exit");

    expect(answer.status).toBe(200);
    expect(code).toBe(0);
  } finally {
    child.kill("SIGKILL");
  }
});

test("variables that are wrong are named, all at once", async () => {
  const child = spawn(process.execPath, [new URL("../../api/main.ts", import.meta.url).pathname], {
    env: { WAYBILL_API_PORT: "x", WAYBILL_MAX_ARTIFACT: "lots" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  child.stdout.on("data", (chunk) => {
    text += chunk;
  });

  const [code] = await once(child, "close");

  expect(code).toBe(1);
  for (const name of ["DATABASE_URL", "REGISTRY_URL", "WAYBILL_API_PORT", "WAYBILL_MAX_ARTIFACT"]) {
    expect(text).toContain(name);
  }
});

test("keys that cannot read a secret that is there end the api at once, and it says what to do", async () => {
  await using api = await startApi();
  await apply(api, [aSecret("db", { password: "a" })]);
  const child = spawn(process.execPath, [new URL("../../api/main.ts", import.meta.url).pathname], {
    env: { DATABASE_URL: api.pg.url, REGISTRY_URL: "http://127.0.0.1:9", WAYBILL_API_PORT: "0" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  child.stdout.on("data", (chunk) => {
    text += chunk;
  });

  const [code] = await once(child, "close");

  expect(code).toBe(1);
  expect(text).toContain("Put the key file back");
  expect(text).not.toContain("api ready");
});
