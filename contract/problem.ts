/** Every error that a caller can act on: its slug, its status, its title. RFC 9457 on the wire. */
export const PROBLEMS = {
  "body-invalid": { status: 400, title: "The body cannot be read" },
  "too-deep": { status: 400, title: "The body is nested too deeply" },
  "duplicate-key": { status: 400, title: "The body has the same key twice" },
  "no-token": { status: 401, title: "A bearer token is needed" },
  "token-invalid": { status: 401, title: "This token is not valid" },
  forbidden: { status: 403, title: "This token does not allow that" },
  "not-found": { status: 404, title: "There is no such thing" },
  "method-not-allowed": { status: 405, title: "This path does not take that method" },
  "app-name-taken": { status: 409, title: "Another app has this name" },
  "idempotency-key-reused": {
    status: 409,
    title: "This Idempotency-Key was used for another request",
  },
  "cannot-come-back": { status: 409, title: "That release cannot come back" },
  "still-used": { status: 409, title: "Something still names it" },
  "volume-not-removed": { status: 409, title: "A volume is removed before it is purged" },
  "volume-purging": { status: 409, title: "The volume's bytes are being deleted" },
  "node-taken": { status: 409, title: "Another host is this node" },
  "node-fenced": { status: 409, title: "A person said that this host is off" },
  "node-reachable": { status: 409, title: "The node answers" },
  "node-in-use": { status: 409, title: "The node still holds something" },
  "pod-range-taken": { status: 409, title: "Another node has these pod addresses" },
  "pod-not-running": { status: 409, title: "No pod of the app could do that now" },
  "exec-over": { status: 410, title: "Nobody waits for this command any more" },
  "node-ahead": { status: 412, title: "The node holds a wish that this database never made" },
  "digest-mismatch": { status: 422, title: "The bytes do not have that digest" },
  "body-too-large": { status: 413, title: "The body is too large" },
  "artifact-too-large": { status: 413, title: "The upload is larger than this installation takes" },
  "media-type": { status: 415, title: "This content type is not taken here" },
  "artifact-empty": { status: 422, title: "The upload has no bytes" },
  "query-invalid": { status: 422, title: "The query does not validate" },
  "request-invalid": { status: 422, title: "The request does not validate" },
  "spec-invalid": { status: 422, title: "The app spec does not validate" },
  "exec-invalid": { status: 422, title: "The command does not validate" },
  "exec-not-started": { status: 422, title: "The command could not be started" },
  "release-failed": { status: 422, title: "The release failed" },
  "report-invalid": { status: 422, title: "The report does not validate" },
  "exec-too-many": { status: 429, title: "Too many commands are open" },
  internal: { status: 500, title: "Something broke on our side" },
  "web-socket-needed": { status: 426, title: "This path speaks WebSocket" },
  "exec-cut-off": { status: 502, title: "The command was cut off" },
  "registry-unavailable": { status: 503, title: "The registry does not answer" },
  "database-unavailable": { status: 503, title: "The database does not answer" },
  "secrets-unavailable": { status: 503, title: "No secret can be kept or read right now" },
  "not-ready": { status: 503, title: "No app could be deployed right now" },
  "exec-timeout": { status: 504, title: "The command was not over in time" },
  "wait-timeout": { status: 504, title: "The release was not over in time" },
} as const satisfies Readonly<Record<string, { status: number; title: string }>>;

export type ProblemSlug = keyof typeof PROBLEMS;

/** One mistake in a body, and where: an RFC 6901 pointer. */
export type FieldError = { readonly pointer: string; readonly message: string };

/** Members beside the standard ones; `errors` for bodies, others as the route documents. */
export type ProblemExtras = { readonly errors?: readonly FieldError[] } & Readonly<
  Record<string, unknown>
>;

/** An error for the caller: `detail` says what was wrong this time and what to do about it. */
export class Problem extends Error {
  readonly slug: ProblemSlug;
  readonly extras: ProblemExtras;
  constructor(
    slug: ProblemSlug,
    detail: string,
    options: { extras?: ProblemExtras; cause?: unknown } = {},
  ) {
    super(detail, { cause: options.cause });
    this.slug = slug;
    this.extras = options.extras ?? {};
  }
  get status(): (typeof PROBLEMS)[ProblemSlug]["status"] {
    return PROBLEMS[this.slug].status;
  }
}
