import { spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { cp, lchown, mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { baseStorage } from "./base.ts";
import { type Answer, type CallApi, callApi } from "./call-api.ts";
import { eventually } from "./eventually.ts";
import { freePort } from "./free-port.ts";
import { type Page, visit } from "./visit.ts";

const ROOT = join(import.meta.dirname, "../..");

export type Part =
  | "standalone"
  | "postgres"
  | "redis"
  | "registry"
  | "containerd"
  | "caddy"
  | "front"
  | "api"
  | "worker"
  | "node-agent";

/** A whole installation of the test's own: real parts, own ports, own folder, all gone at the end. */
export type Installation = AsyncDisposable & {
  readonly dataDir: string;
  readonly apiUrl: string;
  readonly httpPort: number;
  readonly token: string;
  readonly env: Readonly<Record<string, string>>;
  /** Starts it (again) and waits until an app could be deployed. */
  start(): Promise<void>;
  /** What Ctrl-C does. */
  interrupt(): Promise<void>;
  down(): Promise<string>;
  pidOf(part: Part): Promise<number>;
  readonly call: CallApi;
  /** `curl -T`: the WAR as the body. */
  putWar(app: string, war: Uint8Array, query?: string): Promise<Answer>;
  /** One request to the app through the ingress. */
  visit(app: string, path?: string): Promise<Page>;
  /** All that it printed so far. */
  output(): Promise<string>;
};

export async function anInstallation(
  extra: Readonly<Record<string, string>> = {},
): Promise<Installation> {
  const home = await mkdtemp(join(tmpdir(), "waybill-flow-"));
  const dataDir = join(home, "data");
  const [apiPort, httpPort] = [await freePort(), await freePort()];
  const env = {
    PATH: process.env.PATH ?? "",
    WAYBILL_DATA_DIR: dataDir,
    WAYBILL_API_PORT: String(apiPort),
    WAYBILL_HTTP_PORT: String(httpPort),
    ...extra,
  };
  const apiUrl = `http://127.0.0.1:${apiPort}`;
  const log = join(home, "standalone.log");
  let token = "";

  const call = callApi(apiUrl, () => token);

  const start = async () => {
    const output = createWriteStream(log, { flags: "a" });
    await once(output, "open");
    const child = spawn(process.execPath, [join(ROOT, "standalone/main.ts")], {
      env,
      stdio: ["ignore", output, output],
    });
    let ended = false;
    child.once("exit", () => {
      ended = true;
    });
    await eventually(
      async () => {
        if (ended) throw new Error(`standalone ended:\n${await readFile(log, "utf8")}`);
        if ((await fetch(`${apiUrl}/readyz`)).status !== 200) throw new Error("not ready yet");
      },
      { withinMs: 90_000, everyMs: 200 },
    ).catch(async (error) => {
      throw new Error(`the installation did not get ready:\n${await readFile(log, "utf8")}`, {
        cause: error,
      });
    });
    token = (await readFile(join(dataDir, "admin.token"), "utf8")).trim();
    await giveBases(join(dataDir, "registry/storage"));
  };

  const pidOf = async (part: Part) =>
    (JSON.parse(await readFile(join(dataDir, "run", `${part}.json`), "utf8")) as { pid: number })
      .pid;

  const down = async () => {
    const child = spawn(process.execPath, [join(ROOT, "standalone/down.ts")], {
      env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    let printed = "";
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (chunk) => (printed += chunk));
    const [code] = await once(child, "exit");
    if (code !== 0) throw new Error(`down ended with ${code}:\n${printed}`);
    return printed;
  };

  return {
    dataDir,
    apiUrl,
    httpPort,
    get token() {
      return token;
    },
    env,
    start,
    interrupt: async () => {
      const pid = await pidOf("standalone");
      process.kill(pid, "SIGINT");
      await eventually(() => expectGone(pid), { withinMs: 30_000 });
    },
    down,
    pidOf,
    call,
    putWar: (app, war, query = "") =>
      call("PUT", `/v1/apps/${app}/war${query}`, { body: war as Uint8Array<ArrayBuffer> }),
    visit: (app, path) => visit({ address: "127.0.0.1", port: httpPort }, `${app}.localhost`, path),
    output: () => readFile(log, "utf8"),
    [Symbol.asyncDispose]: async () => {
      await down();
      await rm(home, { recursive: true, force: true });
    },
  };
}

/** Puts the Tomcat base that earlier tests made into its registry, so that it need not make its own. */
async function giveBases(registry: string): Promise<void> {
  const { uid, gid } = await stat(registry);
  await cp(await baseStorage(), registry, { recursive: true, force: false });
  for (const name of await readdir(registry, { recursive: true })) {
    await lchown(join(registry, name), uid, gid);
  }
}

/** Throws while the process is there. */
export function expectGone(pid: number): void {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return;
    throw error;
  }
  throw new Error(`process ${pid} is still there`);
}
