import { once } from "node:events";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { PAUSE_REPOSITORY } from "../../../contract/node/protocol.ts";
import { exec } from "../../../kit/exec.ts";
import { openBases } from "../../../worker/build/base.ts";
import { digestOf } from "../../../worker/build/digest.ts";
import { openRegistry } from "../../../worker/build/registry.ts";
import { buildWarImage } from "../../../worker/build/war-image.ts";
import { BASE_TIMEOUT_MS, startRegistryWithBases } from "../../support/base.ts";
import { helloWar } from "../../support/hello-war.ts";
import { validateImage } from "../../support/validate-image.ts";

const signal = new AbortController().signal;

test(
  "the example app becomes an image on the Tomcat base, which is found and not made again",
  async () => {
    await using registry = await startRegistryWithBases();
    const folder = await mkdtemp(join(tmpdir(), "waybill-test-base-image-"));
    try {
      const bases = openBases({ registry: registry.client, workDir: join(folder, "work") });
      const war = Buffer.from(await helloWar("version 7"));
      await registry.client.putBytes("artifacts/default", digestOf(war), war, signal);
      const said: string[] = [];

      const built = await buildWarImage(
        {
          registry: registry.client,
          bases,
          workDir: join(folder, "work"),
          progress: async (message) => void said.push(message),
          signal,
        },
        {
          artifact: digestOf(war),
          artifactRepository: "artifacts/default",
          repository: "apps/default/hello",
          contextPath: "/",
          tomcatVersion: "10.1",
        },
      );

      if (built.kind === "refused") throw new Error(built.message);
      expect(said).toEqual([]);
      const image = await validateImage(registry.client, "apps/default/hello", built.image);
      const files = await listing(folder, registry.url, image.layers[0]?.digest ?? "");
      expect(files).toContain("./srv/tomcat/conf/server.xml");
      expect(files).toContain("./srv/tomcat/conf/classes.jsa");
      expect(files).toContain("./usr/share/doc/tomcat10-common/copyright");
      expect(
        files.filter((name) => /^\.\/(dev|proc|etc\/apt|var\/lib\/apt)\/./.test(name)),
      ).toEqual([]);
      const pause = await bases.pause(async () => undefined, signal);
      await validateImage(registry.client, PAUSE_REPOSITORY, pause);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
  BASE_TIMEOUT_MS,
);

test("packages are fetched through the proxy that is named", async () => {
  const nothing: RequestListener = (_request, response) => response.writeHead(404).end();
  await using registry = await answering(nothing);
  const seen: string[] = [];
  await using proxy = await answering((request, response) => {
    seen.push(request.url ?? "");
    nothing(request, response);
  });
  proxy.server.on("connect", ({ url }, socket) => {
    seen.push(url ?? "");
    socket.end("HTTP/1.1 404 Not Found\r\n\r\n");
  });
  const folder = await mkdtemp(join(tmpdir(), "waybill-test-base-proxy-"));
  try {
    const bases = openBases({
      ...{ registry: openRegistry(registry.url), workDir: folder },
      proxies: { http_proxy: proxy.url, https_proxy: proxy.url, no_proxy: undefined },
    });

    const making = bases.tomcat(async () => undefined, signal);

    await expect(making).rejects.toThrow("failed while fetching the package lists");
    expect(seen).toContainEqual(expect.stringMatching(/^(http:\/\/.*InRelease|[^/]*:443)$/));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}, 120_000);

test("making the base ends at once when it is aborted, and leaves nothing behind", async () => {
  // Knows no image, so the base has to be made.
  await using registry = await answering((_request, response) => response.writeHead(404).end());
  const folder = await mkdtemp(join(tmpdir(), "waybill-test-base-abort-"));
  try {
    const bases = openBases({ registry: openRegistry(registry.url), workDir: folder });
    const stop = new AbortController();

    const making = bases.tomcat(async (message) => {
      if (/unpacking|installing/.test(message)) stop.abort(new Error("stopped"));
    }, stop.signal);

    await expect(making).rejects.toThrow("stopped");
    await expect.poll(() => readdir(folder), { timeout: 15_000 }).toEqual([]);
    const { stdout } = await exec("/bin/ps", ["-eo", "args"], { timeoutMs: 5_000 });
    expect(stdout).not.toContain(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}, 120_000);

test.each([
  ["full", 500, '{"errors":[{"code":"UNKNOWN","detail":{"Enclosed":{"Op":"write","Err":28}}}]}'],
  ["full", 507, ""],
  ["denied", 401, "{}"],
  ["missing", 404, "{}"],
  ["broken", 500, "oops"],
])("a registry that is %s says so: %i", async (kind, status, body) => {
  await using registry = await answering((request, response) => {
    request.resume();
    response.writeHead(status).end(body);
  });
  const client = openRegistry(registry.url);
  const bytes = Buffer.from("x");

  const put = client.putBytes("apps/default/a", digestOf(bytes), bytes, signal);

  await expect(put).rejects.toMatchObject({ kind, status });
  await expect(put).rejects.toThrow(/^could not upload blob sha256:.* to apps\/default\/a/);
});

test("a registry that refuses a big file before it has read it is heard", async () => {
  await using registry = await answering((request, response) => {
    if (request.method === "POST") response.writeHead(202, { location: "/upload" }).end();
    else response.writeHead(507).end("quota exceeded");
  });
  const folder = await mkdtemp(join(tmpdir(), "waybill-test-refused-"));
  try {
    await writeFile(join(folder, "big"), Buffer.alloc(20 * 1024 * 1024));
    const client = openRegistry(registry.url);

    const put = client.putFile("a", digestOf(Buffer.from("x")), join(folder, "big"), signal);

    await expect(put).rejects.toMatchObject({ kind: "full", status: 507 });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

async function listing(folder: string, url: string, digest: string): Promise<string[]> {
  const tar = join(folder, "base.tar");
  const answer = await fetch(`${url}/v2/apps/default/hello/blobs/${digest}`);
  if (answer.body === null) throw new Error("the registry sent no blob");
  await writeFile(tar, answer.body);
  const argv = ["--list", "--file", tar];
  const options = { timeoutMs: 60_000, maxOutputBytes: 16 * 1024 * 1024 };
  return (await exec("/usr/bin/tar", argv, options)).stdout.split("\n");
}

/** A server that answers as `listener` does. */
async function answering(listener: RequestListener) {
  const server = createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    server,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
