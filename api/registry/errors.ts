import type { Problem, ProblemSlug } from "../../contract/problem.ts";

/*
 * Below /v2 errors are what the CNCF distribution says they are: the programs that push and pull
 * images show those, and nothing of problem+json. The problem's own slug goes along as the detail.
 */

const CODES: Partial<Readonly<Record<ProblemSlug, string>>> = {
  "no-token": "UNAUTHORIZED",
  "token-invalid": "UNAUTHORIZED",
  forbidden: "DENIED",
  "method-not-allowed": "UNSUPPORTED",
  "artifact-too-large": "SIZE_INVALID",
  "body-too-large": "MANIFEST_INVALID",
  "body-invalid": "SIZE_INVALID",
  "digest-mismatch": "DIGEST_INVALID",
  "registry-unavailable": "UNAVAILABLE",
  "database-unavailable": "UNAVAILABLE",
};

export function registryErrorResponse(path: string) {
  return (problem: Problem, headers: Readonly<Record<string, string>>): Response => {
    const code =
      problem.slug === "not-found" ? unknownAt(path) : (CODES[problem.slug] ?? "UNKNOWN");
    const error = { code, message: problem.message, detail: { type: `/problems/${problem.slug}` } };
    return new Response(JSON.stringify({ errors: [error] }), {
      status: problem.status,
      headers: {
        "content-type": "application/json",
        "docker-distribution-api-version": "registry/2.0",
        ...headers,
      },
    });
  };
}

function unknownAt(path: string): string {
  if (path.includes("/blobs/uploads/")) return "BLOB_UPLOAD_UNKNOWN";
  if (path.includes("/blobs/")) return "BLOB_UNKNOWN";
  return path.includes("/manifests/") ? "MANIFEST_UNKNOWN" : "NAME_UNKNOWN";
}
