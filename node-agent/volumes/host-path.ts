import { constants } from "node:fs";
import { type FileHandle, lstat, open, realpath } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { hostPathAllowed, normalPath } from "../../contract/pod/host-policy.ts";
import type { Volume } from "../../contract/pod/pod.ts";
import { StartError } from "../act/start-error.ts";
import { bindAt } from "./bind.ts";
import { openBeneath, PathError } from "./open-beneath.ts";
import type { ReadyVolume, Surroundings } from "./volume.ts";

type HostPath = NonNullable<Volume["hostPath"]>;

const MADE_FOLDER = { mode: 0o755 };

/**
 * A path of this host, if its operator allows it: all links are resolved first, and what they lead to
 * must lie under an allowed prefix. From there on it is opened without following any, and what was
 * opened is what the pod gets. A type that is not named is a folder where nothing is there yet.
 */
export async function readyHostPath(
  name: string,
  { path: asked, type }: HostPath,
  around: Surroundings,
): Promise<ReadyVolume> {
  const place = join(around.volumesDir, name);
  const prefixes = await Promise.all(around.hostPaths.map(async (it) => (await resolved(it)).path));
  const real = await resolved(asked);
  const prefix = prefixes.find((it) => hostPathAllowed([it], real.path));
  if (prefix === undefined) throw refused(asked, real.path, around.hostPaths);
  try {
    await using target = await opened(prefix, real, type);
    const problem = typeProblem(type, await target.stat());
    if (problem !== undefined) throw new PathError(problem);
    await bindAt(place, target);
  } catch (error) {
    if (!(error instanceof PathError)) throw error;
    const message = `the hostPath "${asked}" cannot be used: ${error.message}`;
    throw new StartError("CreateContainerConfigError", message, error);
  }
  return { path: place, readOnly: false };
}

type Resolved = { readonly path: string; readonly there: boolean };

/** Where a path leads once every link on it is followed, also where its last parts are not there. */
async function resolved(path: string): Promise<Resolved> {
  const normal = normalPath(path);
  if (normal === undefined) throw new StartError("CreateContainerConfigError", `"${path}" goes up`);
  let existing = normal;
  while (existing !== "/" && (await lstat(existing).catch(() => undefined)) === undefined)
    existing = dirname(existing);
  const real = await realpath(existing).catch((error: unknown) => {
    const message = `"${existing}" is a link that leads nowhere`;
    throw new StartError("CreateContainerConfigError", message, error);
  });
  return { path: join(real, relative(existing, normal)), there: existing === normal };
}

/** The prefix is the operator's word and trusted; below it nothing is. */
async function opened(prefix: string, { path, there }: Resolved, type: HostPath["type"]) {
  const mayMake = type === "" || type === "DirectoryOrCreate" || type === "FileOrCreate";
  if (!there && !mayMake) throw new PathError("nothing is there");
  if (there) return openBeneath("/", path, undefined);
  if (type !== "FileOrCreate") return openBeneath("/", path, MADE_FOLDER);
  if (path === prefix) throw new PathError("nothing is there");
  await using folder = await openBeneath("/", dirname(path), undefined);
  // Awaited here: the folder stays open until then.
  return await madeFile(folder, path);
}

async function madeFile(folder: FileHandle, path: string): Promise<FileHandle> {
  const name = path.slice(path.lastIndexOf("/") + 1);
  const flags = constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  return open(`/proc/self/fd/${folder.fd}/${name}`, flags, 0o644);
}

function typeProblem(
  type: HostPath["type"],
  found: { isDirectory(): boolean; isFile(): boolean; isSocket(): boolean },
): string | undefined {
  if (type.startsWith("Directory") && !found.isDirectory()) return "it is no folder";
  if (type.startsWith("File") && !found.isFile()) return "it is no file";
  if (type === "Socket" && !found.isSocket()) return "it is no socket";
  return undefined;
}

function refused(asked: string, real: string, allowed: readonly string[]): StartError {
  const leads = real === asked ? "" : `, which is "${real}" here,`;
  const rule =
    allowed.length === 0 ? "no path of this host" : `only what lies under ${allowed.join(", ")}`;
  return new StartError(
    "CreateContainerConfigError",
    `host-paths: the hostPath "${asked}"${leads} is not allowed; the operator of this node allows ${rule}`,
  );
}
