/** Memory that a JVM needs beside its heap, in bytes: it is bounded here so that the sum can hold. */
const MIB = 1024 * 1024;
const CODE_CACHE = 48 * MIB;
const METASPACE = 128 * MIB;
/** Stacks, direct buffers, the collector's own tables, and the JVM itself. */
const OTHER = 64 * MIB;
const OTHER_SHARE = 0.1;
const SMALLEST_HEAP = 48 * MIB;

/**
 * JVM options under which heap and the rest stay within `limitBytes`: a share of the limit alone gets
 * a JVM killed by the kernel with a half-empty heap. Small limits shrink the heap, not the rest.
 */
export function jvmBudget(limitBytes: number): readonly string[] {
  const rest = CODE_CACHE + METASPACE + Math.max(OTHER, limitBytes * OTHER_SHARE);
  const heap = Math.max(SMALLEST_HEAP, limitBytes - rest);
  return [
    `-Xmx${Math.floor(heap / MIB)}m`,
    `-XX:MaxMetaspaceSize=${METASPACE / MIB}m`,
    `-XX:ReservedCodeCacheSize=${CODE_CACHE / MIB}m`,
    "-XX:+ExitOnOutOfMemoryError",
  ];
}

/** One text for JDK_JAVA_OPTIONS, which the java launcher splits at white space outside of quotes. */
export function javaOptionsText(options: readonly string[]): string {
  return options.map((it) => (/[\s'"]/.test(it) ? quoted(it) : it)).join(" ");
}

function quoted(option: string): string {
  return option.includes('"') ? `'${option}'` : `"${option}"`;
}
