import { request } from "node:http";
import { connect } from "node:net";
import { exec } from "../kit/exec.ts";
import { readLog } from "./logs.ts";
import type { Check } from "./part.ts";

const PATIENCE_MS = 2_000;

type Checks = {
  readonly [Kind in Check["kind"]]: (
    check: Extract<Check, { kind: Kind }>,
    log: LogSince,
  ) => Promise<boolean>;
};

/** A part's log, and the bytes that it had when the part was started. */
export type LogSince = { readonly path: string; readonly from: number };

const CHECKS: Checks = {
  http: async (check) => (await statusOf(check)) === 200,
  "http-on-socket": async (check) => (await statusOf(check)) === 200,
  socket: ({ socket }) => talk({ path: socket }, "", () => true),
  redis: ({ port, password }) =>
    talk({ host: "127.0.0.1", port }, `AUTH ${password}\r\nPING\r\n`, (heard) =>
      heard.includes("+PONG"),
    ),
  command: ({ program, argv }) =>
    exec(program, argv, { timeoutMs: PATIENCE_MS }).then(
      () => true,
      () => false,
    ),
  "log-line": async ({ text }, log) => (await readLog(log.path, log.from)).includes(text),
};

/** Whether the part answers right now; never throws, and never takes longer than two seconds. */
export function answers(check: Check, log: LogSince): Promise<boolean> {
  const run = CHECKS[check.kind] as (check: Check, log: LogSince) => Promise<boolean>;
  return run(check, log);
}

/** Whether the part says anything at all, if only that it is not well; true where it cannot be asked. */
export async function responds(check: Check): Promise<boolean> {
  const asked = check.kind === "http" || check.kind === "http-on-socket";
  return !asked || (await statusOf(check)) !== undefined;
}

/** Caddy's admin answers only those who call it by a name that its config allows. */
const BY_NAME = { headers: { host: "localhost" } } as const;

type Address = { readonly url: string } | { readonly socket: string; readonly path: string };

function statusOf(address: Address): Promise<number | undefined> {
  return new Promise((resolve) => {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    const asked =
      "url" in address
        ? request(address.url, { signal })
        : request({ ...BY_NAME, socketPath: address.socket, path: address.path, signal });
    asked.once("error", () => resolve(undefined));
    asked.once("response", (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    asked.end();
  });
}

type Target = { readonly path: string } | { readonly host: string; readonly port: number };

/** Connects, says `words`, and is satisfied by the connection itself or by what it hears. */
function talk(
  target: Target,
  words: string,
  satisfied: (heard: string) => boolean,
): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ ...target, timeout: PATIENCE_MS });
    let heard = "";
    const end = (verdict: boolean) => {
      socket.destroy();
      resolve(verdict);
    };
    socket.once("error", () => end(false));
    socket.once("timeout", () => end(false));
    socket.once("close", () => end(false));
    socket.once("connect", () => (words === "" ? end(satisfied("")) : socket.write(words)));
    socket.on("data", (chunk: Buffer) => {
      heard += chunk.toString("latin1");
      if (satisfied(heard)) end(true);
    });
  });
}
