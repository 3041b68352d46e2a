import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { exec } from "../../kit/exec.ts";
import { startApi } from "../support/api.ts";

const ROOT = join(import.meta.dirname, "../..");
const SCRIPT = join(ROOT, "standalone/agent/install.sh");

/** A host whose /etc and /run are its own, and whose systemd only notes what it is told. */
async function aHost() {
  const dir = await mkdtemp(join(tmpdir(), "waybill-install-"));
  const at = (path: string) => join(dir, path);
  for (const name of ["etc", "work", "bin", "data/node-agent"]) {
    await mkdir(at(name), { recursive: true });
  }
  const fake = async (name: string, text: string) => {
    await writeFile(at(`bin/${name}`), `#!/bin/sh\n${text}\n`);
    await chmod(at(`bin/${name}`), 0o755);
  };
  await fake("npm", "");
  await fake("sleep", "exec /bin/sleep 0.1");
  await fake("node", "echo v18.20.4");
  await fake("journalctl", 'echo "the api answered 401 to the join token" >&2');
  const told = `echo "$*" >>${at("told")}`;
  await fake(
    "systemctl",
    `${told}; [ "$1" != restart ] || touch ${at("data/node-agent/node.json")}`,
  );
  const mounts = [
    `mount -t overlay overlay -o lowerdir=/etc,upperdir=${at("etc")},workdir=${at("work")} /etc`,
    "mount -t tmpfs tmpfs /run",
    "mkdir -p /run/systemd/system",
    `PATH=${at("bin")}:$PATH`,
  ];
  return {
    at,
    fake,
    /** What it says, and its exit code. */
    async run(script: string, ...args: readonly string[]) {
      const argv = ["--mount", "sh", "-c", [...mounts, 'exec sh "$@"'].join("\n"), "sh", script];
      const env = { WAYBILL_INSTALL_PATIENCE: "1" };
      try {
        const { stdout } = await exec("/usr/bin/unshare", [...argv, ...args], {
          env,
          timeoutMs: 15_000,
        });
        return { code: 0, said: stdout };
      } catch (error) {
        const { exitCode, stderr } = error as { exitCode?: number; stderr: string };
        return { code: exitCode, said: stderr };
      }
    },
    [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }),
  };
}

test("systemd is given a unit that leaves pods alone, and the token in a file for root only", async () => {
  await using host = await aHost();
  const options = ["--api", "https://api.example", "--join", "wb_join_x", "--data-dir"];

  const { code, said } = await host.run(SCRIPT, ...options, host.at("data"));

  expect({ code, said }).toEqual({ code: 0, said: expect.stringContaining("has joined") });
  expect(said).toContain(`"npm run agent -- down --data-dir ${host.at("data")}"`);
  const settings = host.at("etc/waybill/node.env");
  expect((await readFile(settings, "utf8")).trim().split("\n")).toEqual([
    "WAYBILL_API_URL=https://api.example",
    "WAYBILL_JOIN_TOKEN=wb_join_x",
    `WAYBILL_DATA_DIR=${host.at("data")}`,
  ]);
  expect((await stat(settings)).mode & 0o777).toBe(0o600);
  const unit = await readFile(host.at("etc/systemd/system/waybill-node.service"), "utf8");
  expect(unit).toContain("\nKillMode=process\n");
  expect(unit).toContain(`\nExecStart=${ROOT}/node_modules/.bin/node standalone/agent/main.ts\n`);
  expect(unit).not.toMatch(/@[A-Z]+@/);
  expect((await readFile(host.at("told"), "utf8")).trim().split("\n")).toEqual([
    "daemon-reload",
    "enable waybill-node",
    "restart waybill-node",
  ]);
});

test("a host that is installed again keeps what it was told before, and is not said to have joined", async () => {
  await using host = await aHost();
  const options = ["--api", "https://api.example", "--join", "first", "--data-dir"];
  await host.run(SCRIPT, ...options, host.at("data"));
  const settings = host.at("etc/waybill/node.env");
  await writeFile(settings, `${await readFile(settings, "utf8")}WAYBILL_HOST_PATHS=/srv\n`);

  const { code, said } = await host.run(SCRIPT, "--join", "second");

  expect({ code, said }).toEqual({ code: 0, said: expect.stringContaining("had joined before") });
  expect((await readFile(settings, "utf8")).trim().split("\n")).toEqual([
    "WAYBILL_API_URL=https://api.example",
    `WAYBILL_DATA_DIR=${host.at("data")}`,
    "WAYBILL_HOST_PATHS=/srv",
    "WAYBILL_JOIN_TOKEN=second",
  ]);
  expect((await stat(settings)).mode & 0o777).toBe(0o600);
});

test("all that is wrong is named at once, and nothing is installed", async () => {
  await using host = await aHost();
  await host.fake("node", "echo v16.20.2");
  const options = ["--name", "x", "--join", "a b", "--data-dir", "data", "--address"];

  const { code, said } = await host.run(SCRIPT, ...options);

  expect(code).toBe(1);
  expect(said.trim().split("\n")).toEqual([
    "waybill: there is no option --name.",
    "waybill: there is no option x.",
    "waybill: --join holds a character that no such value has.",
    "waybill: --address needs a value.",
    "waybill: --data-dir must be an absolute path.",
    "waybill: Node.js is missing or too old: install 18 or newer with npm.",
    "waybill: say where the api is, with --api URL.",
    "waybill: give this host a token, with --join TOKEN.",
  ]);
  await expect(stat(host.at("told"))).rejects.toThrow("ENOENT");
});

test("a host that does not join is told why", async () => {
  await using host = await aHost();
  const options = ["--api", "https://api.example", "--join", "x", "--data-dir", host.at("data")];

  await host.fake("systemctl", '[ "$1" != show ] || echo 1');
  const refused = await host.run(SCRIPT, ...options);
  await host.fake("systemctl", '[ "$1" != show ] || echo 0');
  const silent = await host.run(SCRIPT, ...options);
  await host.fake("systemctl", '[ "$1" != restart ]');
  const broken = await host.run(SCRIPT, ...options);

  expect(refused.code).toBe(1);
  expect(refused.said).toContain("the api answered 401 to the join token");
  expect(refused.said).toContain("waybill: this host has not joined; why is said above.");
  expect(silent.said).toContain("this host has not joined in 1 s");
  expect(broken.said).toContain("this host's unit does not start");
});

test("the api hands out the script that starts it, which does nothing when it arrives cut short", async () => {
  await using host = await aHost();
  await using api = await startApi();
  const { text } = await api.ask("/install.sh", { token: null });
  const script = host.at("install.sh");
  const checkout = host.at("checkout/standalone/agent/install.sh");
  await mkdir(dirname(checkout), { recursive: true });
  await writeFile(checkout, 'printf "%s|" "$@"\n');
  await writeFile(script, text);
  const options = ["--api", "https://a", "--folder", host.at("checkout"), "--join", "t"];

  expect(await host.run(script, ...options)).toEqual({
    code: 0,
    said: "--api|https://a|--join|t|",
  });
  expect(await host.run(script, "--folder", host.at("nowhere"))).toMatchObject({
    code: 1,
    said: expect.stringContaining("say where to get it, with --source GIT-URL."),
  });
  await writeFile(script, text.slice(0, text.lastIndexOf("install_node")));
  expect(await host.run(script, ...options)).toEqual({ code: 0, said: "" });
});
