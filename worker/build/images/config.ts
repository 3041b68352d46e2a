import { normalize } from "node:path/posix";
import { z } from "zod";
import { type Platform, shown } from "./manifest.ts";
import { ImageRefused } from "./problem.ts";

/** What an image says about itself, as far as anybody here asks. Pure. */
const Config = z.object({
  architecture: z.string().nullish(),
  os: z.string().nullish(),
  config: z
    .object({
      User: z.string().nullish(),
      WorkingDir: z.string().nullish(),
      ExposedPorts: z.record(z.string(), z.unknown()).nullish(),
      Volumes: z.record(z.string(), z.unknown()).nullish(),
      Labels: z.record(z.string(), z.string()).nullish(),
    })
    .nullish(),
  rootfs: z.object({ diff_ids: z.array(z.string()) }),
});

export type ImageConfig = {
  /** The TCP ports that it exposes, the lowest first. */
  readonly tcpPorts: readonly number[];
};

/** Throws ImageRefused for a config that no container here may run with. */
export function readConfig(bytes: Buffer, layers: number, platform: Platform): ImageConfig {
  const read = Config.safeParse(parseJson(bytes));
  if (!read.success) {
    throw new ImageRefused("image-manifest-invalid", "its config cannot be read", read.error);
  }
  const { architecture, os, config, rootfs } = read.data;
  const made = `${os || platform.os}/${architecture || platform.architecture}`;
  const wanted = `${platform.os}/${platform.architecture}`;
  if (made !== wanted) {
    const sentence = `it is made for ${shown(made)}, and the nodes are ${wanted}`;
    throw new ImageRefused("image-platform-missing", sentence);
  }
  if (rootfs.diff_ids.length !== layers) {
    const sentence = `it has ${layers} layers and ${rootfs.diff_ids.length} diff ids`;
    throw new ImageRefused("image-manifest-invalid", sentence);
  }
  const wrong = [...mistakes(config ?? {})];
  if (wrong.length > 0) throw new ImageRefused("image-config-refused", wrong.join("; "));
  return { tcpPorts: tcpPorts(Object.keys(config?.ExposedPorts ?? {})) };
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString("utf8"));
  } catch (error) {
    throw new ImageRefused("image-manifest-invalid", "its config is no JSON", error);
  }
}

type Settings = NonNullable<z.infer<typeof Config>["config"]>;

/** What would reach around the container: containerd acts on some labels, and runc on a folder of /proc (CVE-2026-53488, CVE-2024-21626). */
function* mistakes({ Labels, WorkingDir, User, Volumes }: Settings): Generator<string> {
  const label = Object.keys(Labels ?? {}).find((it) =>
    /^(containerd\.io\/|io\.cri-containerd)/.test(it),
  );
  if (label !== undefined)
    yield `its label ${shown(label)} is one that the container runtime acts on`;
  if (/^\/+(proc|sys)(\/|$)/.test(normalize(`/${WorkingDir ?? ""}`))) {
    yield `its working directory ${shown(WorkingDir ?? "")} is one of the kernel's`;
  }
  const ids = (User ?? "").split(":").filter((it) => /^\d+$/.test(it));
  if (ids.some((it) => Number(it) > MAX_ID)) yield `its user ${shown(User ?? "")} is no user`;
  if (Object.keys(Volumes ?? {}).some((it) => /^[/.]*$/.test(it))) {
    yield "it declares its whole root a volume";
  }
}

/** 2^32-1 means "no change" to the kernel. */
const MAX_ID = 4_294_967_294;

function tcpPorts(exposed: readonly string[]): readonly number[] {
  return exposed
    .flatMap((it) => /^(\d{1,5})(\/tcp)?$/.exec(it)?.[1] ?? [])
    .map(Number)
    .filter((port) => port >= 1 && port <= 65_535)
    .toSorted((a, b) => a - b);
}
