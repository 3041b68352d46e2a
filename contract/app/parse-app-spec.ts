import { z } from "zod";
import { jsonPointer } from "../document/document.ts";
import { type Hints, MAX_MISTAKES, type Mistake, mistakesOf } from "../document/mistakes.ts";
import { isRawObject, present, type RawObject, rawObject, tooMany } from "../document/raw.ts";
import type { Labels } from "../placement/demands.ts";
import { kindHint, podHint } from "../pod/hints.ts";
import type { HostPolicy } from "../pod/host-policy.ts";
import { PodDocument } from "../pod/pod.ts";
import { podMistakes } from "../pod/rules.ts";
import type { FieldError } from "../problem.ts";
import { type AppSpec, EVERY_APP, ImageAppSpec, PodAppSpec, WarAppSpec } from "./app-spec.ts";

export type ParsedApp =
  | {
      readonly ok: true;
      readonly value: AppSpec;
      /** The pointer of the pod's spec, as the user wrote it; "" where the source is no pod. */
      readonly podAt: string;
    }
  | { readonly ok: false; readonly errors: readonly FieldError[] };

type Read = {
  readonly value: AppSpec | undefined;
  readonly mistakes: readonly Mistake[];
  readonly podAt: string;
};

const SOURCES = ["war", "image", "pod"] as const;
/** Sources and fields that the design names and that nothing acts on yet. */
const LATER_SOURCES = ["git", "static"];
const LATER = new Set([
  ...LATER_SOURCES.map((source) => `/${source}`),
  ...["/scale", "/secrets", "/domains", "/volumes"],
  ...["/war/url", "/war/sha256", "/war/hostPath", "/tomcat/image"],
]);
/** Fields that only some sources have. */
const NOT_WITH_POD = "not taken with a pod: its containers say it themselves";
const ONLY_WITH_WAR = 'only an app of the source "war" has this';

/** The pod is read by itself, since it has two forms. */
const PodAppRest = PodAppSpec.omit({ pod: true });
/** Names all that an app may have, so that a misspelt source finds its name. */
const SourcelessApp = z.strictObject({
  ...EVERY_APP,
  ...Object.fromEntries(
    [...SOURCES, "tomcat", "resources", "env", "http"].map((name) => [
      name,
      z.unknown().optional(),
    ]),
  ),
});

/**
 * Checks a whole document, an app spec or a Kubernetes Pod, and names every mistake at once, by
 * pointers into what was written. `policy` is what the operator allows of the host; undefined for a
 * document that was asked before. What comes out parses to itself again.
 */
export function parseAppSpec(document: unknown, policy?: HostPolicy): ParsedApp {
  const { value, mistakes, podAt } = readDocument(document, policy);
  if (value !== undefined && mistakes.length === 0) return { ok: true, value, podAt };
  return { ok: false, errors: errorsOf(mistakes) };
}

/** Whether a document is one of Kubernetes' and not an app spec. */
export function hasKind(document: unknown): boolean {
  return isRawObject(document) && present(document, ["kind", "apiVersion"]).length > 0;
}

function readDocument(document: unknown, policy: HostPolicy | undefined): Read {
  if (!isRawObject(document)) return failed([{ path: [], message: "must be an object" }]);
  // Before anything that looks at each member: a schema takes its time over tens of thousands.
  const many = tooMany(document);
  if (many.length > 0) return failed(many);
  return hasKind(document) ? readPodBody(document, policy) : readApp(document, policy);
}

/** A whole Pod is an app named after it. */
function readPodBody(document: RawObject, policy: HostPolicy | undefined): Read {
  if (document.kind !== undefined && document.kind !== "Pod") {
    return failed([{ path: ["kind"], message: kindHint(document.kind) }]);
  }
  const { pod, mistakes } = readPod(document, policy);
  if (pod === undefined) return failed(mistakes);
  const value = { ...PodAppRest.parse({ name: pod.metadata.name }), pod };
  return { value, mistakes, podAt: "/spec" };
}

function readApp(document: RawObject, policy: HostPolicy | undefined): Read {
  const [source, ...others] = present(document, SOURCES) as (typeof SOURCES)[number][];
  const rest = Object.fromEntries(
    Object.entries(document).filter(([key]) => !others.some((other) => other === key)),
  );
  const second = others.map((other) => ({
    path: [other],
    message: `an app has one source, and "${source}" is here already`,
  }));
  const read = readSource(source, rest, policy);
  return { ...read, mistakes: [...read.mistakes, ...second, ...severalOfOne(document)] };
}

function severalOfOne({ singleton, replicas }: RawObject): readonly Mistake[] {
  if (singleton !== true || typeof replicas !== "number" || replicas <= 1) return [];
  return [{ path: ["replicas"], message: "must be 0 or 1: a singleton never runs twice" }];
}

function readSource(
  source: (typeof SOURCES)[number] | undefined,
  document: RawObject,
  policy: HostPolicy | undefined,
): Read {
  switch (source) {
    case "war":
      return readAs(WarAppSpec, document);
    case "image":
      return readAs(ImageAppSpec, document);
    case "pod":
      return readPodApp(document, policy);
    case undefined: {
      const { mistakes } = readAs(SourcelessApp, document);
      const later = present(document, LATER_SOURCES).length > 0;
      const message = 'needs a source: one of "war", "image" and "pod"';
      return failed(later ? mistakes : [{ path: [], message }, ...mistakes]);
    }
  }
}

function readAs<T>(schema: z.ZodType<T>, document: unknown) {
  const read = schema.safeParse(document);
  return {
    value: read.data as T & AppSpec,
    mistakes: read.success ? [] : mistakesOf(read.error, schema, appHints(document)),
    podAt: "",
  };
}

/** `pod` holds a whole Pod document, named as the app, or what stands below the `spec` of one. */
function readPodApp(document: RawObject, policy: HostPolicy | undefined): Read {
  const { pod: written, ...others } = document;
  const rest = PodAppRest.safeParse(others);
  const mistakes = rest.success ? [] : mistakesOf(rest.error, PodAppRest, appHints(document));
  if (!isRawObject(written)) {
    return failed([...mistakes, { path: ["pod"], message: "must be a PodSpec or a Pod" }]);
  }
  const whole = present(written, ["apiVersion", "kind", "metadata", "spec"]).length > 0;
  const { pod, mistakes: inPod } = whole
    ? readPod(written, policy)
    : readPod({ apiVersion: "v1", kind: "Pod", metadata: { name: "x" }, spec: written }, policy);
  const placed = inPod.map(({ path, message }) => ({
    path: ["pod", ...(whole ? path : path.slice(1))],
    message,
  }));
  const all = [
    ...mistakes,
    ...placed,
    ...(whole ? anotherName(document, written) : []),
    ...contradictions(rest.data?.placement.nodeSelector, pod?.spec.nodeSelector),
  ];
  if (!rest.success || pod === undefined) return failed(all);
  const named = whole ? pod : { ...pod, metadata: { ...pod.metadata, name: rest.data.name } };
  const podAt = whole ? "/pod/spec" : "/pod";
  return { value: { ...rest.data, pod: named }, mistakes: all, podAt };
}

function anotherName(app: RawObject, pod: RawObject): readonly Mistake[] {
  const { name } = rawObject(pod.metadata);
  if (name === undefined || name === app.name) return [];
  const message = `must be "${String(app.name).slice(0, 60)}", as the app is named`;
  return [{ path: ["pod", "metadata", "name"], message }];
}

/** What the app asks of its nodes and the pod itself asks otherwise. */
function contradictions(ofApp: Labels = {}, ofPod: Labels = {}): readonly Mistake[] {
  return Object.entries(ofApp).flatMap(([key, value]) => {
    if (!Object.hasOwn(ofPod, key) || ofPod[key] === value) return [];
    const message = `no node has both: the pod's own nodeSelector asks for ${key}=${ofPod[key]}`;
    return [{ path: ["placement", "nodeSelector", key], message }];
  });
}

/** The shape's mistakes and the rules', with paths in a whole Pod. */
function readPod(
  document: RawObject,
  policy: HostPolicy | undefined,
): { readonly pod: PodDocument | undefined; readonly mistakes: readonly Mistake[] } {
  const read = PodDocument.safeParse(document);
  const shape = read.success ? [] : mistakesOf(read.error, PodDocument, podHint);
  return { pod: read.data, mistakes: [...shape, ...podMistakes(document, policy)] };
}

function appHints(document: unknown): Hints {
  return (path, key) => {
    const pointer = jsonPointer([...path, key]);
    if (LATER.has(pointer)) return "not supported yet";
    if (pointer === "/tomcat") return ONLY_WITH_WAR;
    const withPod = isRawObject(document) && document.pod !== undefined;
    return withPod && ["/resources", "/env", "/http/health"].includes(pointer)
      ? NOT_WITH_POD
      : undefined;
  };
}

function failed(mistakes: readonly Mistake[]): Read {
  return { value: undefined, mistakes, podAt: "" };
}

/** One error a place: what is wrong with a field itself comes before what another asks of it. */
function errorsOf(mistakes: readonly Mistake[]): readonly FieldError[] {
  const errors = new Map<string, FieldError>();
  for (const { path, message } of mistakes) {
    const pointer = jsonPointer(path);
    if (!errors.has(pointer)) errors.set(pointer, { pointer, message });
  }
  const all = [...errors.values()];
  if (all.length <= MAX_MISTAKES) return all;
  return [...all.slice(0, MAX_MISTAKES), { pointer: "", message: "has more mistakes than these" }];
}
