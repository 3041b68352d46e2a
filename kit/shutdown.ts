/**
 * One AbortSignal for SIGTERM and SIGINT. `closeAll` runs the closers in order, each with a
 * deadline, so that one that hangs does not keep the others from running.
 */
export function onTermination(): AbortSignal {
  const controller = new AbortController();
  for (const name of ["SIGTERM", "SIGINT"] as const) {
    process.on(name, () => controller.abort(new Error(`received ${name}`)));
  }
  return controller.signal;
}

export type Closer = { readonly name: string; readonly close: () => Promise<unknown> };

/** Runs every closer, in order; returns the names of those that failed or took longer than `deadlineMs`. */
export async function closeAll(closers: readonly Closer[], deadlineMs = 5_000): Promise<string[]> {
  const late: string[] = [];
  for (const { name, close } of closers) {
    const timer = Promise.withResolvers<"late">();
    const handle = setTimeout(() => timer.resolve("late"), deadlineMs);
    const outcome = await Promise.race([
      close().then(
        () => "closed" as const,
        () => "late" as const,
      ),
      timer.promise,
    ]);
    clearTimeout(handle);
    if (outcome === "late") late.push(name);
  }
  return late;
}
