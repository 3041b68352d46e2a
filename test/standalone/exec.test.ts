import { execFile } from "node:child_process";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type WebSocket, WebSocketServer } from "ws";

const EXEC = join(import.meta.dirname, "../../standalone/exec.ts");

type Ending = { readonly code: number; readonly stdout: string; readonly stderr: string };

/** Runs `npm run exec -- <words>` against an api that serves its session so. */
async function run(
  words: readonly string[],
  serve: (socket: WebSocket, request: IncomingMessage) => void,
): Promise<Ending> {
  const server = new WebSocketServer({
    ...{ host: "127.0.0.1", port: 0 },
    handleProtocols: (offered) => [...offered][0] ?? false,
  });
  server.on("connection", serve);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const env = { WAYBILL_URL: `http://127.0.0.1:${port}`, WAYBILL_TOKEN: "word" };
  try {
    return await new Promise((resolve) => {
      execFile(process.execPath, [EXEC, ...words], { env }, (error, stdout, stderr) =>
        resolve({ code: Number(error?.code ?? 0), stdout, stderr }),
      );
    });
  } finally {
    server.close();
  }
}

test("a command gets its words, its output is shown, and its exit code is ours", async () => {
  const ending = await run(["shop", "-c", "db", "--", "df", "-h"], (socket, request) => {
    const { searchParams } = new URL(request.url ?? "/", "http://api");
    socket.send(
      Buffer.from(`\x01${searchParams.getAll("command")} ${request.headers.authorization}`),
    );
    socket.send(Buffer.from("\x02an aside"));
    const details = { causes: [{ reason: "ExitCode", message: "7" }] };
    socket.send(Buffer.from(`\x03${JSON.stringify({ status: "Failure", details })}`));
    socket.close();
  });

  expect(ending).toEqual({ code: 7, stdout: "df,-h Bearer word", stderr: "an aside" });
});

test("a session that breaks off says so", async () => {
  const ending = await run(["shop", "--", "true"], (socket) => socket.terminate());

  expect(ending).toMatchObject({
    code: 255,
    stderr: "The session ended before its command did: the connection broke.\n",
  });
});
