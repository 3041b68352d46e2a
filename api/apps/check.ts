import type { AppSpec } from "../../contract/app/app-spec.ts";
import { hasKind, parseAppSpec } from "../../contract/app/parse-app-spec.ts";
import { fieldErrors } from "../../contract/document/mistakes.ts";
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

/** Names that people would take for the installation's own, or that other systems cannot hold. */
const RESERVED: readonly unknown[] = ["api", "www", "con"];

/** Checks a document as the spec of `name`, or of the name in it where `name` is undefined. */
export function checkSpec(call: KnownCall, document: unknown, name?: string): Checked {
  const { named, errors } = name === undefined ? unnamed(document) : withName(document, name);
  const read = parseAppSpec(named, call.deps.config.hostPolicy);
  const all = [...errors, ...reserved(nameIn(named)), ...(read.ok ? [] : read.errors)];
  if (read.ok && all.length === 0) return { spec: read.value, at: "", podAt: read.podAt };
  throw specInvalid(all);
}

type NameIn = { readonly said: unknown; readonly pointer: string };

/** What a document says that its app is called, and where. */
export function nameIn(document: unknown): NameIn {
  const raw = rawObject(document);
  if (!hasKind(raw)) return { said: raw.name, pointer: "/name" };
  return { said: rawObject(raw.metadata).name, pointer: "/metadata/name" };
}

function reserved({ said, pointer }: NameIn): readonly FieldError[] {
  if (!RESERVED.includes(said)) return [];
  return [{ pointer, message: `"${said}" is reserved; take another name` }];
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
  const { said, pointer } = nameIn(document);
  const message = `must be "${name}", as in the path`;
  const errors = said === undefined || said === name ? [] : [{ pointer, message }];
  return { named: hasKind(document) ? document : { ...document, name }, errors };
}

export function specInvalid(errors: readonly FieldError[]): Problem {
  const count = errors.length === 1 ? "one mistake" : `${errors.length} mistakes`;
  return new Problem("spec-invalid", `The app spec has ${count}; nothing was changed.`, {
    extras: { errors },
  });
}

/** The app's name in the path, as a new app may have it. */
export function nameInPath(call: KnownCall): string {
  const said = pathPart(call, "app");
  const read = Name.safeParse(said);
  const pointer = "/name";
  const errors = read.success ? reserved({ said, pointer }) : fieldErrors(read.error, Name);
  if (errors.length > 0) throw specInvalid(errors.map(({ message }) => ({ pointer, message })));
  return said;
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

function everyAppsOwn({ replicas, singleton, placement, rollout }: AppSpec) {
  return { replicas, singleton, placement, rollout };
}
