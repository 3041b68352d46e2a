import { type AppSpec, parseAppSpec } from "../contract/app-spec.ts";
import { type Digest, Name } from "../contract/ids.ts";
import { canonicalJson } from "../contract/pod.ts";
import { type FieldError, Problem } from "../contract/problem.ts";
import { declareApp, findApp } from "../db/apps.ts";
import { knownArtifacts } from "../db/artifacts.ts";
import type { Tx } from "../db/client.ts";
import { appUrl, type DeclareAnswer, type DryRunAnswer } from "./answers.ts";
import { actorName } from "./auth.ts";
import { type Changed, hashOf } from "./change.ts";
import { diff } from "./diff.ts";
import { type KnownCall, pathPart } from "./route.ts";
import type { Watched } from "./wait.ts";

/** An answer, and what to watch for whoever waits. Kept with an Idempotency-Key, so it is plain JSON. */
export type Accepted = { readonly answer: DeclareAnswer; readonly watched: Watched };

/** Checks a document as the spec of `name`, or of the name in it where `name` is undefined. */
export function checkSpec(document: unknown, name: string | undefined): AppSpec {
  const errors: FieldError[] = [];
  let named = document;
  if (name !== undefined && isObject(document)) {
    if (document.name !== undefined && document.name !== name) {
      errors.push({ pointer: "/name", message: `must be "${name}", as in the path` });
    }
    named = { ...document, name };
  }
  const read = parseAppSpec(named);
  if (read.ok && errors.length === 0) return read.value;
  throw specInvalid([...errors, ...(read.ok ? [] : read.errors)]);
}

export function specInvalid(errors: readonly FieldError[]): Problem {
  const count = errors.length === 1 ? "one mistake" : `${errors.length} mistakes`;
  return new Problem("spec-invalid", `The app spec has ${count}; nothing was changed.`, {
    extras: { errors },
  });
}

/** The app's name in the path, as a new app may have it. */
export function nameInPath(call: KnownCall): string {
  const read = Name.safeParse(pathPart(call, "app"));
  if (read.success) return read.data;
  const message = read.error.issues[0]?.message ?? "is not a name";
  throw specInvalid([{ pointer: "/name", message }]);
}

/** Refuses digests that the project never uploaded: another project's bytes are nobody's business. */
export async function checkArtifacts(
  tx: Tx,
  call: KnownCall,
  specs: readonly { readonly spec: AppSpec; readonly at: string }[],
): Promise<void> {
  const wanted = specs.map(({ spec }) => spec.war.artifact);
  const known = await knownArtifacts(tx, call.caller.projectId, wanted);
  const errors = specs
    .filter(({ spec }) => !known.has(spec.war.artifact))
    .map(({ at }) => ({
      pointer: `${at}/war/artifact`,
      message: "no upload has this digest; send the file to POST /v1/artifacts first",
    }));
  if (errors.length > 0) throw specInvalid(errors);
}

/** Hop 2 for one spec, in the caller's transaction. */
export async function declare(
  tx: Tx,
  call: KnownCall,
  spec: AppSpec,
  options: { force?: boolean } = {},
): Promise<Changed<Accepted>> {
  const by = actorName(call.caller);
  const made = await declareApp(tx, { project: call.caller.projectId, spec, by, ...options });
  const { app, release, number, phase, digest, unchanged } = made;
  const url = appUrl(call.deps.config, spec);
  return {
    status: made.created ? 201 : 200,
    value: {
      answer: { app: spec.name, release: number, phase, digest, url, unchanged },
      watched: { app, release, number },
    },
    audits: unchanged
      ? []
      : [
          {
            object: `app:${spec.name}`,
            before: made.before && hashOf(call, canonicalJson(made.before)),
            after: hashOf(call, canonicalJson(spec)),
          },
        ],
  };
}

/** What `declare` would do. */
export async function planDeclare(tx: Tx, call: KnownCall, spec: AppSpec): Promise<DryRunAnswer> {
  const app = await findApp(tx, call.caller.projectId, spec.name);
  const changes = [...diff(app?.spec ?? {}, spec)];
  return { app: spec.name, dryRun: true, unchanged: changes.length === 0, changes, spec };
}

/** The spec of an app that has this WAR now: what it was otherwise, or the defaults. */
export function specWithWar(
  name: string,
  before: AppSpec | undefined,
  war: { readonly artifact: Digest; readonly contextPath: string | undefined },
): AppSpec {
  const { artifact, contextPath } = war;
  const changed = { ...before?.war, artifact, ...(contextPath !== undefined && { contextPath }) };
  return checkSpec({ ...before, name, war: changed }, name);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}
