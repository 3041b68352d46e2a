/** Log files of starts before the last two; names that are not ours are left alone. Pure. */
export function staleLogs(files: readonly string[]): readonly string[] {
  const starts = files.flatMap((file) => {
    const match = /^(.+)\.(\d+)\.log(?:\.\d+)?$/.exec(file);
    return match ? [{ file, container: match[1] ?? "", attempt: Number(match[2]) }] : [];
  });
  return starts
    .filter((it) => {
      const newer = starts.filter(
        (other) => other.container === it.container && other.attempt > it.attempt,
      );
      return new Set(newer.map((other) => other.attempt)).size >= 2;
    })
    .map((it) => it.file);
}

/** Entries named after pods that are neither wanted nor here any more. Pure. */
export function orphans(names: readonly string[], known: ReadonlySet<string>): readonly string[] {
  return names.filter((name) => !known.has(name));
}
