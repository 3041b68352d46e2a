import type { AppSpec } from "../../contract/app/app-spec.ts";
import { hasKind, parseAppSpec } from "../../contract/app/parse-app-spec.ts";
import { isRawObject, rawObject } from "../../contract/document/raw.ts";
import { type Digest, Name } from "../../contract/ids.ts";
import { type FieldError, Problem } from "../../contract/problem.ts";
import { type KnownCall, pathPart } from "../http/route.ts";

/* What a body says of itself, before the database is asked what it names. */

/** A spec that is right in itself, and the pointers of where it stands in the body. */
export type Checked = {
  readonly spec: AppSpec;
  /** Of its document: "" in a body of one. */
  readonly at: string;
  /** Of its pod's spec. */
  readonly podAt: string;
};

/** Checks a document as the spec of `name`, or of the name in it where `name` is undefined. */
export function checkSpec(call: KnownCall, document: unknown, name?: string): Checked {
  const { named, errors } = name === undefined ? unnamed(document) : withName(document, name);
  const read = parseAppSpec(named, call.deps.config.hostPolicy);
  if (read.ok && errors.length === 0) return { spec: read.value, at: "", podAt: read.podAt };
  throw specInvalid([...errors, ...(read.ok ? [] : read.errors)]);
}

function unnamed(document: unknown): { named: unknown; errors: readonly FieldError[] } {
  return { named: document, errors: [] };
}

/** The app that a path names needs no name in its document, and may have no other; a Pod has its own. */
function withName(
  document: unknown,
  name: string,
): { named: unknown; errors: readonly FieldError[] } {
  if (!isRawObject(document)) return unnamed(document);
  const isPod = hasKind(document);
  const said = isPod ? rawObject(document.metadata).name : document.name;
  const pointer = isPod ? "/metadata/name" : "/name";
  const message = `must be "${name}", as in the path`;
  const errors = said === undefined || said === name ? [] : [{ pointer, message }];
  return { named: isPod ? document : { ...document, name }, errors };
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

/**
 * The spec of an app that has this WAR now: what it was otherwise, or the defaults. Of an app that was
 * something else only what every app has goes on.
 */
export function specWithWar(
  call: KnownCall,
  name: string,
  before: AppSpec | undefined,
  war: { readonly artifact: Digest; readonly contextPath: string | undefined },
): Checked {
  const { artifact, contextPath } = war;
  const kept = before && ("war" in before ? before : everyAppsOwn(before));
  const changed = {
    ...(before && "war" in before && before.war),
    artifact,
    ...(contextPath !== undefined && { contextPath }),
  };
  return checkSpec(call, { ...kept, name, war: changed }, name);
}

function everyAppsOwn({ replicas, rollout }: AppSpec) {
  return { replicas, rollout };
}
