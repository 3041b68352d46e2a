/** Every reason to refuse a WAR for what it is, whatever the machine; the user can act on each. */
export type WarProblem =
  | "war-empty"
  | "war-not-zip"
  | "war-truncated"
  | "war-corrupt"
  | "war-encrypted"
  | "war-compression"
  | "war-too-many-entries"
  | "war-path-absolute"
  | "war-path-escapes"
  | "war-name-invalid"
  | "war-symlink"
  | "war-duplicate-entry"
  | "war-bomb";

/** Thrown anywhere below `buildWarImage`, which hands it to its caller as a value. */
export class WarRefused extends Error {
  readonly slug: WarProblem;
  constructor(slug: WarProblem, message: string, cause?: unknown) {
    super(message, { cause });
    this.slug = slug;
  }
}

/** A name out of an archive, safe in a sentence, a log line or a terminal: quoted, escaped, at most 80 characters. */
export function shownName(name: string): string {
  const characters = Array.from(name);
  const short = characters.length <= 80 ? characters : [...characters.slice(0, 77), "..."];
  const safe = short.map((character) =>
    /[\p{L}\p{M}\p{N}\p{P}\p{S} ]/u.test(character) && !/["\\]/.test(character)
      ? character
      : [...character].map(escaped).join(""),
  );
  return `"${safe.join("")}"`;
}

function escaped(character: string): string {
  if (character === '"' || character === "\\") return `\\${character}`;
  return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
}
