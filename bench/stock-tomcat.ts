import { randomUUID } from "node:crypto";
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { AppSpec } from "../contract/app/app-spec.ts";
import { Digest, PodId } from "../contract/ids.ts";
import type { Pod } from "../contract/pod/pod.ts";
import { exec } from "../kit/exec.ts";
import { podOf } from "../worker/schedule/pod.ts";

/** What a team's Dockerfile would hold: Debian's Tomcat with its own configuration and start script. */
export const stockDockerfile = (base: string) => `FROM ${base}
USER 0
COPY --chown=10001:10001 conf /stock/conf
RUN mkdir -p /stock/webapps /stock/logs /stock/temp /stock/work && chown -R 10001:10001 /stock
USER 10001
ENV CATALINA_HOME=/usr/share/tomcat10 CATALINA_BASE=/stock JAVA_HOME=/usr/lib/jvm/java-17-openjdk-amd64
WORKDIR /stock
ENTRYPOINT ["/usr/share/tomcat10/bin/catalina.sh", "run"]
`;

/** The configuration that Debian ships in a package which would also bring systemd, so only it is taken. */
export async function stockConf(dir: string): Promise<Readonly<Record<string, string>>> {
  const folder = join(dir, "stock");
  await mkdir(folder, { recursive: true });
  await exec("/usr/bin/apt-get", ["download", "tomcat10"], { cwd: folder, timeoutMs: 60_000 });
  const [deb = ""] = await readdir(folder);
  await exec("/usr/bin/dpkg-deb", ["-x", join(folder, deb), folder], { timeoutMs: 30_000 });
  const conf = join(folder, "usr/share/tomcat10/etc");
  const files = await readdir(conf);
  return Object.fromEntries(
    await Promise.all(
      files.map(async (it) => [`conf/${it}`, await readFile(join(conf, it), "utf8")] as const),
    ),
  );
}

export function stockPod(): Pod {
  const artifact = Digest.parse(`sha256:${"0".repeat(64)}`);
  const spec = AppSpec.parse({ name: "raw", war: { artifact } });
  const frozen = {
    project: "default",
    number: 1,
    spec,
    imageRepository: "bench/raw",
    imageDigest: artifact,
    images: null,
    materials: { secrets: {}, configMaps: {} },
    httpPort: 8080,
  };
  const pod = podOf(frozen, PodId.parse(randomUUID()));
  const containers = pod.spec.containers.map((it) => ({
    ...it,
    env: [],
    volumeMounts: [],
    securityContext: { ...it.securityContext, readOnlyRootFilesystem: false },
  }));
  return { ...pod, spec: { ...pod.spec, containers, volumes: [] } };
}
