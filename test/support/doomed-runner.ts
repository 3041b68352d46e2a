import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { aWorld } from "../standalone/a-world.ts";
import { startContainerd } from "./containerd.ts";
import { anInstallation } from "./installation.ts";
import { openLab } from "./lab/lab.ts";
import { startCluster } from "./postgres-cluster.ts";
import { startRedis } from "./redis.ts";
import { startRegistry } from "./registry.ts";
import { openRunFolder } from "./run-folder.ts";

/** A runner that starts one of each, says by what they are known, and waits to be killed. */
const run = await openRunFolder();
const world = await aWorld();
await world.redis();
const [containerd, installation, lab] = await Promise.all([
  startContainerd(),
  anInstallation(),
  openLab({ hosts: 1 }),
  startCluster(),
  startRedis(),
  startRegistry(),
]);
await installation.start();
const id = (folder: string) => folder.split("-").at(-1);
const file = await readFile(join(installation.dataDir, "installation.json"), "utf8");
const hosts = lab.hosts.map((it) => id(it.containerd.dir));
const ids = [id(containerd.dir), id(world.dataDir), JSON.parse(file).id, ...hosts];
const traces = [
  run.path,
  lab.name,
  ...ids.flatMap((it) => [`waybill-${it}`, `waybill-test-${it}`, `wb-${it}`]),
];
process.stdout.write(`${JSON.stringify({ folder: run.path, traces })}\n`);
setInterval(() => undefined, 60_000);
