import { existsSync } from "node:fs";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exec } from "../../kit/exec.ts";
import { aptSources } from "../../worker/build/rootfs.ts";
import { keptFolder } from "./run-folder.ts";

/* The images that examples name, made from Debian's packages, and pushed as an operator pushes. */

export type DebianImage = "debian" | "nginx";

/** How long a test may take that needs one, where it has to be made first. */
export const DEBIAN_IMAGES_TIMEOUT_MS = 300_000;

/** Serves the folder that the well-known image of this name serves. */
const NGINX_CONF = `user www-data;
worker_processes 1;
pid /run/nginx.pid;
error_log stderr notice;
events {}
http {
  include mime.types;
  access_log /dev/stdout;
  server {
    listen 80;
    root /usr/share/nginx/html;
  }
}
`;

/** What each image runs, in buildah's words. */
const RUN: Readonly<Record<DebianImage, readonly string[]>> = {
  debian: ["--cmd", '["bash"]'],
  nginx: ["--entrypoint", '["nginx", "-g", "daemon off;"]', "--port", "80"],
};

/**
 * The image as an OCI archive. Both stand on one root file system; it is made once, which takes about
 * half a minute, and kept for later runs.
 */
export async function debianImage(name: DebianImage): Promise<string> {
  const kept = join(keptFolder(), "waybill-test-debian-images-1");
  if (!existsSync(kept)) await makeImages(kept);
  return join(kept, `${name}.tar`);
}

async function makeImages(kept: string): Promise<void> {
  const own = join(tmpdir(), `debian-images-${process.pid}`);
  await mkdir(own);
  try {
    await makeRootfs(join(own, "rootfs.tar"));
    await writeFile(join(own, "nginx.conf"), NGINX_CONF);
    const buildah = openBuildah(own);
    for (const name of ["debian", "nginx"] as const) {
      const container = (await buildah("from", "scratch")).trim();
      await buildah("add", container, join(own, "rootfs.tar"), "/");
      if (name === "nginx")
        await buildah("add", container, join(own, "nginx.conf"), "/etc/nginx/nginx.conf");
      await buildah("config", ...RUN[name], container);
      await buildah("commit", "--rm", container, `oci-archive:${join(own, `${name}.tar`)}`);
    }
    await rm(join(own, "rootfs.tar"));
    await rm(join(own, "storage"), { recursive: true });
    // Whoever renames first wins; the others throw theirs away.
    await rename(own, kept).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
    });
  } finally {
    await rm(own, { recursive: true, force: true });
  }
}

async function makeRootfs(tar: string): Promise<void> {
  const argv = [
    "--mode=root",
    "--variant=essential",
    "--include=nginx-light",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "",
    tar,
    ...(await aptSources()),
  ];
  await exec("/usr/bin/mmdebstrap", argv, {
    timeoutMs: DEBIAN_IMAGES_TIMEOUT_MS,
    env: { PATH: process.env.PATH ?? "", LC_ALL: "C.UTF-8" },
    maxOutputBytes: 16 * 1024 * 1024,
  });
}

function openBuildah(dir: string) {
  const storage = [
    "--root",
    join(dir, "storage/root"),
    "--runroot",
    join(dir, "storage/run"),
    "--storage-driver",
    "vfs",
  ];
  return async (...argv: string[]) => {
    const { stdout } = await exec("/usr/bin/buildah", [...storage, ...argv], {
      timeoutMs: DEBIAN_IMAGES_TIMEOUT_MS,
      env: { HOME: dir, PATH: process.env.PATH ?? "", BUILDAH_ISOLATION: "chroot" },
      maxOutputBytes: 16 * 1024 * 1024,
    });
    return stdout;
  };
}

/** `skopeo copy`, with a token as the password of any user: `to` is such as "library/nginx". */
export async function pushAsOperator(
  waybill: { readonly apiUrl: string; readonly token: string },
  archive: string,
  to: string,
): Promise<void> {
  const { host } = new URL(waybill.apiUrl);
  const argv = [
    "--insecure-policy",
    "copy",
    "--quiet",
    "--dest-tls-verify=false",
    `--dest-creds=operator:${waybill.token}`,
    `oci-archive:${archive}`,
    `docker://${host}/${to}:latest`,
  ];
  await exec("/usr/bin/skopeo", argv, {
    timeoutMs: 120_000,
    env: { HOME: tmpdir(), PATH: process.env.PATH ?? "" },
  });
}
