import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { readSettings } from "../../standalone/env.ts";
import { newInstallation, writeInstallation } from "../../standalone/installation.ts";
import { takeLock } from "../../standalone/lock.ts";
import { takeDown } from "../../standalone/take-down.ts";
import { freePort } from "../support/free-port.ts";

const STANDALONE = join(import.meta.dirname, "../../standalone");

async function aFolder() {
  const path = await mkdtemp(join(tmpdir(), "waybill-main-"));
  return {
    path,
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}

async function aBusyPort() {
  const server = createServer().listen(0, "0.0.0.0");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return { port: address.port, [Symbol.asyncDispose]: async () => void server.close() };
}

function run(program: string, variables: Readonly<Record<string, string>>) {
  return new Promise<{ code: unknown; output: string }>((resolve) => {
    const env = { PATH: process.env.PATH, ...variables };
    execFile(
      process.execPath,
      [join(STANDALONE, program)],
      { env, timeout: 15_000 },
      (error, stdout, stderr) => resolve({ code: error?.code ?? 0, output: stdout + stderr }),
    );
  });
}

test("busy ports are said in one sentence each, and nothing is left behind", async () => {
  await using home = await aFolder();
  await using api = await aBusyPort();
  await using http = await aBusyPort();

  const { code, output } = await run("main.ts", {
    WAYBILL_DATA_DIR: join(home.path, "data"),
    WAYBILL_API_PORT: String(api.port),
    WAYBILL_HTTP_PORT: String(http.port),
  });

  expect(code).toBe(1);
  expect(output.trim().split("\n")).toEqual([
    `Port ${api.port} is taken by another program: choose another one with WAYBILL_API_PORT.`,
    `Port ${http.port} is taken by another program: choose another one with WAYBILL_HTTP_PORT.`,
  ]);
  expect(await readdir(home.path)).toEqual([]);
});

test("a folder with somebody else's files is left as it is", async () => {
  await using home = await aFolder();
  await writeFile(join(home.path, "thesis.tex"), "years of work");

  const { code, output } = await run("main.ts", {
    WAYBILL_DATA_DIR: home.path,
    WAYBILL_API_PORT: String(await freePort()),
    WAYBILL_HTTP_PORT: String(await freePort()),
  });

  expect(code).toBe(1);
  expect(output).toBe(
    `The data folder ${home.path} holds files that are not Waybill's: choose another one with WAYBILL_DATA_DIR.\n`,
  );
  expect(await readdir(home.path)).toEqual(["thesis.tex"]);
});

test("a file where the data folder should be, or on the way to it, is named", async () => {
  await using home = await aFolder();
  const file = join(home.path, "file");
  await writeFile(file, "");
  const ports = {
    WAYBILL_API_PORT: String(await freePort()),
    WAYBILL_HTTP_PORT: String(await freePort()),
  };

  const there = await run("main.ts", { WAYBILL_DATA_DIR: file, ...ports });
  const below = await run("main.ts", { WAYBILL_DATA_DIR: join(file, "data"), ...ports });

  expect(there.output).toContain(`${file} is not a folder`);
  expect(below.output).toContain("a part of its path is a file");
  expect([there.code, below.code]).toEqual([1, 1]);
});

test("an unusable variable is named before anything is looked at", async () => {
  const { code, output } = await run("main.ts", { WAYBILL_API_PORT: "http" });

  expect(code).toBe(1);
  expect(output).toBe("These variables are not usable: WAYBILL_API_PORT: must be a port number\n");
});

test("a second start on the same data folder is refused while the first one lives", async () => {
  await using home = await aFolder();
  const lock = await takeLock(home.path);

  const { code, output } = await run("main.ts", {
    WAYBILL_DATA_DIR: home.path,
    WAYBILL_API_PORT: String(await freePort()),
    WAYBILL_HTTP_PORT: String(await freePort()),
  });
  await lock?.release();

  expect(code).toBe(1);
  expect(output).toContain(`already running for the data folder ${home.path}.`);
  expect(await readdir(home.path)).toEqual([]);
});

test("down waits its turn aloud, and does not say that nothing runs where the runtime cannot be asked", async () => {
  await using home = await aFolder();
  await writeInstallation(home.path, newInstallation([1, 2, 3], []));
  const lock = await takeLock(home.path);

  const said: string[] = [];
  const say = (line: string) => {
    said.push(line);
    if (line.startsWith("waiting for another Waybill process")) void lock?.release();
  };
  const settings = readSettings({
    WAYBILL_DATA_DIR: home.path,
    CONTAINER_RUNTIME_ENDPOINT: "unix:///run/nothing.sock",
  });
  const code = await takeDown({ settings, root: dirname(STANDALONE), say });

  expect(said.join("\n")).toContain("unix:///run/nothing.sock may still hold pods");
  expect(said.join("\n")).not.toContain("Nothing of this installation runs any more");
  expect(code).toBe(1);
});

test("down where nothing is installed says so and changes nothing", async () => {
  await using home = await aFolder();

  const { code, output } = await run("down.ts", { WAYBILL_DATA_DIR: home.path });

  expect(code).toBe(0);
  expect(output).toContain("nothing to stop");
  expect(await readdir(home.path)).toEqual([]);
});
