import { randomBytes, randomUUID } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { AppSpec } from "../contract/app/app-spec.ts";
import { Digest, PodId } from "../contract/ids.ts";
import { helloWar } from "../test/support/hello-war.ts";
import { anInstallation, type Installation, type Part } from "../test/support/installation.ts";
import { familyKib, residentKib } from "../test/support/resident.ts";
import { openBases } from "../worker/build/base.ts";
import { openRegistry } from "../worker/build/registry.ts";
import { buildWarImage } from "../worker/build/war-image.ts";
import { podOf } from "../worker/schedule/pod.ts";
import { bigWar } from "./big-war.ts";
import { type Buildah, openBuildah } from "./buildah.ts";
import { at, eventsOf, type Hops, hopsOf, printHops, startedAtMs } from "./hops.ts";
import { measurePairs, median, printPairs, timed } from "./pairs.ts";
import { openRawPods, type RawPods } from "./raw-pods.ts";
import { stockConf, stockDockerfile, stockPod } from "./stock-tomcat.ts";

const PAIRS = 9;

type Lab = {
  readonly waybill: Installation;
  readonly dir: string;
  readonly registry: string;
  readonly buildah: Buildah;
  readonly raw: RawPods;
};

/** performance.md's questions 1, 2, 3 and 9, and where the time of a deploy goes. */
export async function run(): Promise<object> {
  const dir = await mkdtemp(join(tmpdir(), "waybill-bench-"));
  await using waybill = await anInstallation();
  try {
    console.error("starting an installation, and making the Tomcat base");
    await waybill.start();
    const first = await waybill.putWar("shop", await helloWar("warm"), "?wait=healthy&timeout=300");
    if (first.status !== 200)
      throw new Error(`the first deploy failed: ${JSON.stringify(first.body)}`);
    const { id, ports } = JSON.parse(
      await readFile(join(waybill.dataDir, "installation.json"), "utf8"),
    );
    const registry = `127.0.0.1:${ports.registry}`;
    const raw = openRawPods(
      { endpoint: `unix:///run/waybill-${id}/containerd.sock`, cgroup: `/waybill-${id}` },
      join(dir, "pods"),
    );
    const lab = {
      waybill,
      dir,
      registry,
      buildah: openBuildah(join(dir, "buildah"), registry),
      raw,
    };
    const idle = await memory(lab);
    const results = {
      deploy: await deploy(lab),
      share: await share(lab),
      image: await image(lab),
      idle,
    };
    raw.close();
    return results;
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** 1: from `curl -T app.war` to the first 200 of the new version, against the raw tools. */
async function deploy(lab: Lab) {
  const { waybill, buildah, raw } = lab;
  await buildah.prepare(
    "stock-tomcat",
    stockDockerfile(await baseName(lab)),
    await stockConf(lab.dir),
  );
  const hops: Hops[] = [];
  const pairs = await measurePairs("curl -T to the first 200", PAIRS, {
    ours: async (round) => {
      const war = await helloWar(`ours ${round} ${randomBytes(3).toString("hex")}`);
      const startedMs = Date.now();
      const tookMs = await timed(async () => {
        const answer = await waybill.putWar("shop", war, "?wait=healthy");
        if (answer.status !== 200) throw new Error(JSON.stringify(answer.body));
        const { status } = await waybill.visit("shop");
        if (status !== 200) throw new Error(`the page answered ${status}`);
      });
      hops.push(await hopsOf(waybill, startedMs, startedMs + tookMs));
      await settled(waybill);
      return tookMs;
    },
    baseline: async (round) => {
      const war = await helloWar(`raw ${round} ${randomBytes(3).toString("hex")}`);
      let sandbox = "";
      const tookMs = await timed(async () => {
        const name = await buildah.budAndPush(
          "localhost/stock-tomcat",
          war,
          "/stock/webapps/ROOT.war",
          `r${round}`,
        );
        await raw.pull(name);
        const pod = await raw.run(stockPod(), name);
        sandbox = pod.sandbox;
        await untilServed(`http://${pod.ip}:8080/`);
      });
      await raw.remove(sandbox);
      return tookMs;
    },
  });
  printPairs(
    "1. curl -T app.war to the first 200 (base cached)",
    "buildah bud; buildah push; CRI pull, RunPodSandbox, Create, Start of a stock Tomcat with that WAR",
    "at most 0.75",
    pairs,
  );
  printHops(hops.slice(1));
  return { ...pairs, hops };
}

/** 2: from an accepted spec to a started container, less the raw CRI calls for the same pod. */
async function share(lab: Lab) {
  const { waybill, raw } = lab;
  const { body } = await waybill.call("GET", "/v1/apps/shop");
  const spec = body.spec as AppSpec;
  const { body: release } = await waybill.call("GET", `/v1/apps/shop/releases/${body.live}`);
  const pairs = await measurePairs("spec to container started", PAIRS, {
    ours: async (round) => {
      const changed = JSON.stringify({ ...spec, env: { ROUND: randomUUID() } });
      const headers = { "content-type": "application/json" };
      const answer = await waybill.call("PUT", "/v1/apps/shop?wait=healthy", {
        body: changed,
        headers,
      });
      if (answer.status !== 200) throw new Error(`round ${round}: ${JSON.stringify(answer.body)}`);
      const { events } = await eventsOf(waybill, Number(answer.body.release));
      await settled(waybill);
      return (await startedAtMs(waybill)) - at(events, "release-created");
    },
    baseline: async () => {
      const imageName = `${lab.registry}/apps/default/shop@${release.digest}`;
      await raw.pull(imageName);
      const frozen = {
        project: "default",
        number: 1,
        spec,
        imageRepository: "apps/default/shop",
        imageDigest: Digest.parse(release.digest),
        images: null,
        materials: { secrets: {}, configMaps: {} },
        httpPort: 8080,
      };
      const pod = podOf(frozen, PodId.parse(randomUUID()));
      let sandbox = "";
      const tookMs = await timed(async () => {
        ({ sandbox } = await raw.run(pod, imageName));
      });
      await raw.remove(sandbox);
      return tookMs;
    },
  });
  printPairs(
    "2. spec accepted to container started",
    "RunPodSandbox, CreateContainer, StartContainer of the same pod",
    "15 ms p50 above the baseline",
    pairs,
  );
  const differences = pairs.ours.map((value, index) => value - (pairs.baseline[index] ?? 0));
  console.log(`  above the baseline: median ${median(differences).toFixed(1)} ms`);
  return { ...pairs, medianAboveMs: median(differences) };
}

/** 3: the image of a 20 MB WAR. */
async function image(lab: Lab) {
  const { waybill, buildah, dir } = lab;
  const registry = openRegistry(`http://${lab.registry}`);
  const workDir = join(dir, "work");
  const deps = {
    registry,
    bases: openBases({ registry, workDir }),
    workDir,
    progress: async () => undefined,
    signal: AbortSignal.timeout(600_000),
  };
  const pairs = await measurePairs("image digest of a 20 MB WAR", PAIRS, {
    ours: async () => {
      const { body } = await waybill.call("POST", "/v1/artifacts", {
        body: bigWar(20 * 1024 * 1024),
      });
      const request = {
        artifact: Digest.parse(body.digest),
        artifactRepository: "artifacts/default",
        repository: `apps/default/bench-${randomBytes(4).toString("hex")}`,
        contextPath: "/",
        tomcatVersion: "10.1",
      } as const;
      return await timed(async () => {
        const built = await buildWarImage(deps, request);
        if (built.kind !== "built") throw new Error(built.message);
      });
    },
    baseline: (round) => {
      const war = bigWar(20 * 1024 * 1024);
      return timed(() =>
        buildah.budAndPush("localhost/stock-tomcat", war, "/stock/webapps/ROOT.war", `big${round}`),
      );
    },
  });
  printPairs("3. image digest of a 20 MB WAR", "buildah bud; buildah push", "at most 0.15", pairs);
  return pairs;
}

/** 9: resident memory of an idle installation, in MiB. */
async function memory({ waybill }: Pick<Lab, "waybill">) {
  await sleep(5_000);
  const parts: readonly Part[] = [
    "api",
    "worker",
    "node-agent",
    "postgres",
    "redis",
    "registry",
    "containerd",
    "caddy",
    "front",
  ];
  const kibOf = (part: Part, pid: number) =>
    part === "postgres" ? familyKib(pid) : residentKib(pid);
  const mib = {} as Record<Part, number>;
  for (const part of parts) {
    mib[part] = Math.round((await kibOf(part, await waybill.pidOf(part))) / 1024);
  }
  const sum = mib.api + mib.worker + mib["node-agent"] + mib.postgres + mib.redis;
  console.log(
    "\n9. resident memory when idle, MiB (PostgreSQL with its children, shared pages counted once)",
  );
  console.table(mib);
  console.log(
    `  api + worker + agent + PostgreSQL + Redis: ${sum} MiB (target: at most 300; agent at most 64)`,
  );
  return { mib, sum };
}

/** Until the old pod is gone, so that its end does not weigh on the next measurement. */
async function settled(waybill: Installation): Promise<void> {
  for (let look = 0; look < 300; look++) {
    const { body } = await waybill.call("GET", "/v1/apps/shop");
    if ((body.pods as unknown[]).length === 1) return;
    await sleep(100);
  }
  throw new Error("the old pod did not go in 30 s");
}

async function untilServed(url: string): Promise<void> {
  for (let look = 0; look < 3_000; look++) {
    const status = await fetch(url).then(
      async (answer) => {
        await answer.body?.cancel();
        return answer.status;
      },
      () => 0,
    );
    if (status === 200) return;
    await sleep(10);
  }
  throw new Error(`${url} did not answer 200 in 30 s`);
}

async function baseName({ registry, dir }: Pick<Lab, "registry" | "dir">): Promise<string> {
  const client = openRegistry(`http://${registry}`);
  const bases = openBases({ registry: client, workDir: join(dir, "work") });
  const { repository, digest } = await bases.tomcat(
    async () => undefined,
    AbortSignal.timeout(300_000),
  );
  return `${registry}/${repository}@${digest}`;
}
