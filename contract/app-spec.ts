import { z } from "zod";
import { jsonPointer } from "./document.ts";
import { Digest, Name } from "./ids.ts";
import type { FieldError } from "./problem.ts";
import { bytes, CpuQuantity, Duration, durationMs, MemoryQuantity } from "./units.ts";

/** The smallest memory a Tomcat starts and answers in: JVM without heap about 140 MiB, and a small heap. */
const MIN_TOMCAT_MEMORY = "256Mi";

/** A release that gets nowhere has to end within a time that somebody still asks about it. */
const MAX_PROGRESS_DEADLINE_MS = 24 * 3_600_000;

/** The path below which a WAR answers: "/" or "/shop" or "/shop/v2". */
export const ContextPath = z
  .string()
  .max(200)
  .regex(
    /^\/$|^(\/[A-Za-z0-9_-][A-Za-z0-9._-]*)+$/,
    'must be "/" or a path such as "/shop", of letters, digits, ".", "_" and "-"',
  );

const War = z.strictObject({
  artifact: Digest,
  contextPath: ContextPath.default("/"),
  /** Only `image` is built so far, and what is stored says so: a later default changes no app. */
  packaging: z
    .literal("image", 'not supported yet: "image" is the packaging that is built')
    .default("image"),
});

const Tomcat = z.strictObject({
  version: z.literal("10.1", '"10.1" is the Tomcat that there is').default("10.1"),
  options: z
    .array(
      z
        .string()
        .min(1)
        .max(1_000)
        .regex(/^-[^\0\n\r]+$/, "must be one JVM option, such as -Dfoo=bar"),
    )
    .max(100)
    .default([]),
});

const Http = z.strictObject({
  port: z.literal(8080, "not supported yet: a Tomcat listens on 8080").default(8080),
  health: z
    .strictObject({
      path: z
        .string()
        .max(1_000)
        .regex(/^\/[\x21-\x7e]*$/, "must be a path that starts with /")
        .default("/"),
    })
    .optional(),
});

const EnvName = z
  .string()
  .regex(
    /^[A-Za-z_][A-Za-z0-9_]{0,254}$/,
    "must be letters, digits and _, not starting with a digit",
  );
const EnvValue = z
  .string()
  .max(32_768)
  .regex(/^[^\0]*$/, "must not hold a NUL character");

/**
 * What the user asked for, every default filled in: nothing downstream re-reads defaults. The
 * document of design.md section 5, as far as it is built; what is not is refused by name.
 */
export const AppSpec = z.strictObject({
  name: Name,
  war: War,
  tomcat: Tomcat.prefault({}),
  replicas: z.int().min(0).max(100).default(1),
  resources: z
    .strictObject({ cpu: CpuQuantity.default("500m"), memory: MemoryQuantity.default("512Mi") })
    .prefault({})
    .refine((it) => (bytes(it.memory) ?? Infinity) >= (bytes(MIN_TOMCAT_MEMORY) ?? 0), {
      path: ["memory"],
      message: `a Tomcat needs at least ${MIN_TOMCAT_MEMORY}`,
    }),
  env: z.record(EnvName, EnvValue).default({}),
  http: Http.prefault({}),
  rollout: z
    .strictObject({
      maxSurge: z.int().min(1).max(10).default(1),
      progressDeadline: Duration.refine(
        (text) => (durationMs(text) ?? 0) <= MAX_PROGRESS_DEADLINE_MS,
        "must be at most 24h",
      ).default("300s"),
      autoRevert: z
        .literal(true, "an app that keeps a bad release is not supported yet")
        .default(true),
    })
    .prefault({}),
});
export type AppSpec = z.infer<typeof AppSpec>;

/** Fields that the design names and that nothing acts on yet. */
const NOT_YET = new Set([
  "/image",
  "/git",
  "/static",
  "/pod",
  "/scale",
  "/secrets",
  "/domains",
  "/volumes",
  "/placement",
  "/war/url",
  "/war/sha256",
  "/war/hostPath",
  "/tomcat/image",
]);
const KNOWN = [
  "name",
  "war",
  "artifact",
  "contextPath",
  "packaging",
  "tomcat",
  "version",
  "options",
  "replicas",
  "resources",
  "cpu",
  "memory",
  "env",
  "http",
  "port",
  "health",
  "path",
  "rollout",
  "maxSurge",
  "progressDeadline",
  "autoRevert",
  "image",
  "git",
  "static",
  "pod",
  "scale",
  "secrets",
  "domains",
  "volumes",
  "placement",
];

export type Parsed<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly errors: readonly FieldError[] };

/** Checks a whole document and names every mistake at once. */
export function parseAppSpec(document: unknown): Parsed<AppSpec> {
  const read = AppSpec.safeParse(document);
  if (read.success) return { ok: true, value: read.data };
  return { ok: false, errors: fieldErrors(read.error) };
}

/** As many unknown fields of one object are named: to look for the nearest name takes its time. */
const MAX_UNKNOWN = 100;
/** A longer one is near to no name that there is. */
const MAX_MISSPELT = 40;

/** One error a field: an unknown field is named itself, with the nearest known name where there is one. */
export function fieldErrors(error: z.ZodError): readonly FieldError[] {
  return error.issues.flatMap((issue) => {
    if (issue.code !== "unrecognized_keys") {
      return [{ pointer: jsonPointer(issue.path), message: wordsOf(issue) }];
    }
    return issue.keys
      .slice(0, MAX_UNKNOWN)
      .map((key) => unknownField(jsonPointer([...issue.path, key]), key));
  });
}

function wordsOf(issue: z.core.$ZodIssue): string {
  const absent = issue.code === "invalid_type" && issue.message.endsWith("received undefined");
  return absent ? `is missing: ${issue.expected} expected` : issue.message;
}

function unknownField(pointer: string, key: string): FieldError {
  if (NOT_YET.has(pointer)) return { pointer, message: "not supported yet" };
  if (key.length > MAX_MISSPELT) return { pointer, message: "unknown field" };
  const near = KNOWN.map((known) => ({
    known,
    distance: editDistance(key.toLowerCase(), known.toLowerCase()),
  }))
    .filter(({ known, distance }) => distance <= Math.max(1, Math.floor(known.length / 3)))
    .sort((a, b) => a.distance - b.distance)[0];
  return {
    pointer,
    message: near ? `unknown field; did you mean "${near.known}"?` : "unknown field",
  };
}

/** Levenshtein's distance, for short words. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
