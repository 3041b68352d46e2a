import { REPOSITORY_PATTERN } from "../../contract/image-reference.ts";

/** What a path below /v2 names, of the CNCF distribution's protocol. */
export type RegistryPath =
  | { readonly kind: "manifest"; readonly repository: string; readonly reference: string }
  | { readonly kind: "blob"; readonly repository: string; readonly digest: string }
  | { readonly kind: "tags"; readonly repository: string }
  | { readonly kind: "uploads"; readonly repository: string }
  | { readonly kind: "upload"; readonly repository: string; readonly session: string };

const DIGEST = "sha256:[0-9a-f]{64}";
const TAG = "[A-Za-z0-9_][A-Za-z0-9._-]{0,127}";
const PATHS = [
  ["manifest", new RegExp(`^/v2/(${REPOSITORY_PATTERN})/manifests/(${TAG}|${DIGEST})$`)],
  ["blob", new RegExp(`^/v2/(${REPOSITORY_PATTERN})/blobs/(${DIGEST})$`)],
  ["tags", new RegExp(`^/v2/(${REPOSITORY_PATTERN})/tags/list$`)],
  ["uploads", new RegExp(`^/v2/(${REPOSITORY_PATTERN})/blobs/uploads/?$`)],
  ["upload", new RegExp(`^/v2/(${REPOSITORY_PATTERN})/blobs/uploads/([A-Za-z0-9._=-]{1,200})$`)],
] as const;
/** A repository, a digest and the words between them. */
const MAX_CHARS = 512;

/** Undefined for a path that the protocol does not have: what is not understood is not passed on. */
export function readRegistryPath(path: string): RegistryPath | undefined {
  if (path.length > MAX_CHARS) return undefined;
  for (const [kind, pattern] of PATHS) {
    const [, repository, rest = ""] = pattern.exec(path) ?? [];
    if (repository === undefined) continue;
    if (kind === "manifest") return { kind, repository, reference: rest };
    if (kind === "blob") return { kind, repository, digest: rest };
    if (kind === "upload") return { kind, repository, session: rest };
    return { kind, repository };
  }
  return undefined;
}
