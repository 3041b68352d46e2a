import { chmod, chown, mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Volume } from "../../contract/pod/pod.ts";
import { StartError } from "../act/start-error.ts";
import type { Values } from "../disk/materials.ts";
import { makeReadOnly, mountTmpfs, unmount } from "../host/mounts.ts";
import type { ReadyVolume, Surroundings } from "./volume.ts";

/** How keys become files: the part that a secret's and a config map's volume have in common. */
type Files = Pick<NonNullable<Volume["secret"]>, "items" | "defaultMode" | "optional">;

type KeyFile = { readonly path: string; readonly mode: number; readonly bytes: Uint8Array };

/** A tmpfs counts whole pages, and so do its folders. */
const PAGE_BYTES = 4_096;

/**
 * A tmpfs with a file for each key, which nobody can write to once it is complete; that it is read-only
 * is the sign of that. One that an agent left half-done is made anew, and a complete one stays as it is.
 */
export async function readyKeyFiles(
  name: string,
  kind: "secret" | "config map",
  source: { readonly name: string; readonly values: Values | undefined; readonly files: Files },
  around: Surroundings,
): Promise<ReadyVolume> {
  const path = join(around.volumesDir, name);
  const there = around.mounted.get(path);
  if (there?.readOnly) return { path, readOnly: true };
  const files = keyFiles(kind, source.name, source.values, source.files);
  if (there) await unmount(path);
  await mkdir(path, { recursive: true, mode: 0o700 });
  await mountTmpfs(path, room(files), ["mode=0755"]);
  const group = around.pod.spec.securityContext.fsGroup;
  for (const file of files) await writeKeyFile(path, file, group);
  await makeReadOnly(path);
  return { path, readOnly: true };
}

/** The files of a volume, or a StartError that names what is missing. Pure. */
export function keyFiles(
  kind: string,
  name: string,
  values: Values | undefined,
  { items, defaultMode, optional }: Files,
): readonly KeyFile[] {
  if (values === undefined) {
    if (optional) return [];
    throw new StartError("CreateContainerConfigError", `the ${kind} "${name}" is not on this node`);
  }
  if (items === undefined)
    return [...values].map(([path, bytes]) => ({ path, mode: defaultMode, bytes }));
  return items.flatMap(({ key, path, mode }) => {
    const bytes = values.get(key);
    if (bytes !== undefined) return [{ path, mode: mode ?? defaultMode, bytes }];
    if (optional) return [];
    throw new StartError("CreateContainerConfigError", `the ${kind} "${name}" has no key "${key}"`);
  });
}

function room(files: readonly KeyFile[]): number {
  const pages = files.reduce(
    (sum, it) => sum + Math.ceil(it.bytes.length / PAGE_BYTES) + it.path.split("/").length,
    1,
  );
  return pages * PAGE_BYTES;
}

/** In a tmpfs that nobody else has seen yet; the path was checked to stay in it when it was declared. */
async function writeKeyFile(root: string, file: KeyFile, group: number | undefined): Promise<void> {
  const path = join(root, join("/", file.path));
  await mkdir(dirname(path), { recursive: true, mode: 0o755 });
  await writeFile(path, file.bytes, { mode: 0o600, flag: "w" });
  if (group !== undefined) await chown(path, 0, group);
  // Kubernetes lets the group of a pod read what it is given.
  await chmod(path, group === undefined ? file.mode : file.mode | 0o040);
}
