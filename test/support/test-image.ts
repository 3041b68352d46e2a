import { createHash } from "node:crypto";
import { copyFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exec } from "../../kit/exec.ts";

/** The repository's name and the digest of the manifest that was pushed. */
export type PushedImage = { readonly repository: string; readonly digest: string };

/** `httpd`, `sh`, `sleep` and a page: an app of two megabytes, from Debian's busybox-static. */
export async function pushBusybox(registryUrl: string, repository: string): Promise<PushedImage> {
  return pushFolder(
    registryUrl,
    repository,
    "latest",
    ["/bin/httpd", "-f", "-p", "8080", "-h", "/www"],
    async (root) => {
      for (const folder of ["bin", "www", "proc", "dev", "etc", "tmp", "sys"])
        await mkdir(join(root, folder));
      await copyFile("/bin/busybox", join(root, "bin/busybox"));
      for (const name of APPLETS) {
        await symlink("busybox", join(root, "bin", name));
      }
      await writeFile(join(root, "www/index.html"), "hello from busybox\n");
    },
  );
}

/** What tests run in it: links to busybox. */
const APPLETS =
  "sh httpd sleep cat grep id touch dd seq echo ls ip true false env printf kill ps nc stat mkdir ln df tail head wc sed mv rm dmesg chmod hostname uname readlink sync wget".split(
    " ",
  );

/** The image that holds a sandbox: `catatonit -P` waits and reaps. */
export async function pushPause(registryUrl: string): Promise<PushedImage> {
  return pushFolder(registryUrl, "base/pause", "1", ["/catatonit", "-P"], (root) =>
    copyFile("/usr/bin/catatonit", join(root, "catatonit")),
  );
}

async function pushFolder(
  registryUrl: string,
  repository: string,
  tag: string,
  entrypoint: readonly string[],
  fill: (root: string) => Promise<void>,
): Promise<PushedImage> {
  const root = await mkdtemp(join(tmpdir(), "waybill-test-image-"));
  try {
    await fill(join(root));
    const archive = `${root}.tar`;
    await exec("/usr/bin/tar", ["-C", root, "--owner=0", "--group=0", "-cf", archive, "."], {
      timeoutMs: 10_000,
    });
    const layer = await readFile(archive);
    await rm(archive);
    return await push(registryUrl, repository, tag, layer, entrypoint);
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

async function push(
  registryUrl: string,
  repository: string,
  tag: string,
  layer: Buffer,
  entrypoint: readonly string[],
): Promise<PushedImage> {
  const config = json({
    architecture: process.arch === "arm64" ? "arm64" : "amd64",
    os: "linux",
    config: { Entrypoint: entrypoint, Env: ["PATH=/bin"] },
    rootfs: { type: "layers", diff_ids: [digestOf(layer)] },
  });
  for (const blob of [layer, config]) await upload(registryUrl, repository, blob);
  const described = (mediaType: string, blob: Buffer) => ({
    mediaType,
    size: blob.length,
    digest: digestOf(blob),
  });
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const manifest = json({
    schemaVersion: 2,
    mediaType,
    config: described("application/vnd.oci.image.config.v1+json", config),
    layers: [described("application/vnd.oci.image.layer.v1.tar", layer)],
  });
  const answer = await fetch(`${registryUrl}/v2/${repository}/manifests/${tag}`, {
    method: "PUT",
    headers: { "content-type": mediaType },
    body: new Uint8Array(manifest),
  });
  if (answer.status !== 201) throw new Error(`the registry took no manifest: ${answer.status}`);
  return { repository, digest: digestOf(manifest) };
}

async function upload(registryUrl: string, repository: string, blob: Buffer): Promise<void> {
  const begun = await fetch(`${registryUrl}/v2/${repository}/blobs/uploads/`, { method: "POST" });
  const target = new URL(begun.headers.get("location") ?? "", registryUrl);
  target.searchParams.set("digest", digestOf(blob));
  const answer = await fetch(target, {
    method: "PUT",
    headers: { "content-type": "application/octet-stream" },
    body: new Uint8Array(blob),
  });
  if (answer.status !== 201) throw new Error(`the registry took no blob: ${answer.status}`);
}

function json(value: object): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function digestOf(bytes: Buffer): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}
