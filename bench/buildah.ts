import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { exec } from "../kit/exec.ts";

export type Buildah = {
  /** An image made once, that later builds start from. */
  prepare(name: string, dockerfile: string, files: Readonly<Record<string, string>>): Promise<void>;
  /** `buildah bud` and `buildah push` of `FROM <base> / COPY app.war <to>`; answers the pushed name. */
  budAndPush(base: string, war: Uint8Array, to: string, tag: string): Promise<string>;
};

/** The raw way from a WAR to an image, with storage of its own below `dir`. */
export function openBuildah(dir: string, registry: string): Buildah {
  const storage = [
    "--root",
    join(dir, "root"),
    "--runroot",
    join(dir, "run"),
    "--storage-driver",
    "overlay",
  ];
  const buildah = (...argv: string[]) =>
    exec("/usr/bin/buildah", [...storage, ...argv], {
      timeoutMs: 300_000,
      env: { HOME: dir, BUILDAH_ISOLATION: "chroot" },
      maxOutputBytes: 16 * 1024 * 1024,
    });
  const bud = async (name: string, context: string) => {
    await buildah("bud", "--tls-verify=false", "--pull=missing", "-t", name, context);
  };
  const contextOf = async (name: string, files: Readonly<Record<string, string | Uint8Array>>) => {
    const context = join(dir, "contexts", name);
    await mkdir(context, { recursive: true });
    for (const [file, content] of Object.entries(files)) {
      await mkdir(dirname(join(context, file)), { recursive: true });
      await writeFile(join(context, file), content);
    }
    return context;
  };
  return {
    prepare: async (name, dockerfile, files) => {
      await bud(name, await contextOf(name, { ...files, Dockerfile: dockerfile }));
    },
    budAndPush: async (base, war, to, tag) => {
      const name = `${registry}/bench/raw:${tag}`;
      const dockerfile = `FROM ${base}\nCOPY app.war ${to}\n`;
      await bud(name, await contextOf(tag, { Dockerfile: dockerfile, "app.war": war }));
      await buildah("push", "--tls-verify=false", name);
      return name;
    },
  };
}
