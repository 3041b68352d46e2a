import { normalPath } from "./host-policy.ts";

/* What is wrong with a path, in words; undefined for a good one. Texts only: no file is looked at. */

/** Where the runtime itself mounts; below /dev there is room for a volume, as for /dev/shm. */
const RESERVED = ["/", "/dev", "/proc", "/sys"];
const RESERVED_BELOW = ["/proc/", "/sys/"];

export function wrongMountPath(path: string): string | undefined {
  if (!path.startsWith("/")) return undefined; // the schema's to say
  const normal = normalPath(path);
  if (normal === undefined) return 'must not have ".." in it';
  const reserved =
    RESERVED.includes(normal) || RESERVED_BELOW.some((below) => normal.startsWith(below));
  return reserved ? `must not be ${normal}: the runtime's own mounts are there` : undefined;
}

export function wrongHostPath(path: string): string | undefined {
  return path.startsWith("/") && normalPath(path) === undefined
    ? 'must not have ".." in it'
    : undefined;
}

/** A subPath stays within its volume. */
export function wrongSubPath(path: string): string | undefined {
  if (path.includes("\0")) return "must not hold a NUL character";
  if (path.startsWith("/")) return "must be relative to the volume's root";
  return path.split("/").includes("..") ? 'must not have ".." in it' : undefined;
}

/** The file that a key of a Secret or a ConfigMap becomes. */
export function wrongFilePath(path: string): string | undefined {
  const segments = path.split("/");
  const wrong = wrongSubPath(path);
  if (wrong !== undefined) return wrong;
  if (path.startsWith("..")) return 'must not start with ".."';
  return segments.some((it) => it === "" || it === ".") ? "must be a file's path" : undefined;
}
