import { z } from "zod";

/*
 * Image names as Docker reads them: [registry/]path[:tag][@digest]. The first part is a registry only
 * when it has a dot or a colon or is "localhost". Source: the reference grammar of the CNCF distribution.
 */

const PART = "[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*";
const HOST =
  "(?:[A-Za-z0-9](?:[-A-Za-z0-9]*[A-Za-z0-9])?(?:\\.[A-Za-z0-9](?:[-A-Za-z0-9]*[A-Za-z0-9])?)*|\\[[0-9a-fA-F:]+\\])(?::[0-9]{1,5})?";
const GRAMMAR = new RegExp(
  `^(?:(${HOST})/)?(${PART}(?:/${PART})*)(?::([A-Za-z0-9_][-.A-Za-z0-9_]{0,127}))?(?:@(sha256:[0-9a-f]{64}))?$`,
);
const MAX_CHARS = 255;
const MAX_PORT = 65_535;

export type ImageName = {
  /** Undefined when the name has no registry in front. */
  readonly registry: string | undefined;
  /** As written: "nginx" stays "nginx". */
  readonly path: string;
  readonly tag: string | undefined;
  readonly digest: string | undefined;
};

/** The parts of an image's name, or undefined when it is not one. */
export function parseImageName(text: string): ImageName | undefined {
  if (text.length > MAX_CHARS) return undefined;
  const match = GRAMMAR.exec(text);
  if (!match) return undefined;
  const [, host, path = "", tag, digest] = match;
  if (host === undefined) return { registry: undefined, path, tag, digest };
  if (Number(/:(\d+)$/.exec(host)?.[1] ?? 0) > MAX_PORT) return undefined;
  const isRegistry = /[.:]/.test(host) || host === "localhost";
  if (isRegistry) return { registry: host, path, tag, digest };
  // "team/api": the grammar took the first part of the path for a host.
  return host === host.toLowerCase()
    ? { registry: undefined, path: `${host}/${path}`, tag, digest }
    : undefined;
}

/** What a spec may name as an image. */
export const ImageReference = z
  .string()
  .refine(
    (text) => parseImageName(text) !== undefined,
    'must be an image such as "nginx:1.27", "registry.example.com/team/api" or "api@sha256:…"',
  );

/**
 * The first parts of repositories in Waybill's own registry that Waybill itself fills: what projects
 * upload and what is made of it, bases, and copies of images from elsewhere. All others are people's.
 */
const OWN_FOLDERS = new Set(["apps", "artifacts", "base", "mirror"]);

export function isMadeByWaybill(repository: string): boolean {
  return OWN_FOLDERS.has(repository.split("/", 1)[0] ?? "");
}

/**
 * Whether a project may read a repository of Waybill's own registry: its own apps and artifacts, and
 * everything that is no project's.
 */
export function isReadableBy(project: string, repository: string): boolean {
  const [folder = "", owner] = repository.split("/", 2);
  return (folder !== "apps" && folder !== "artifacts") || owner === project;
}

/** A repository's path as a registry takes it. Source: the CNCF distribution. */
export const REPOSITORY_PATTERN = `${PART}(?:/${PART})*`;
