type Settled<T extends readonly Promise<unknown>[]> = { -readonly [I in keyof T]: Awaited<T[I]> };

/** Like Promise.all, and still waits for all of them when one fails: no work goes on unattended. */
export async function allDone<const T extends readonly Promise<unknown>[]>(
  work: T,
): Promise<Settled<T>> {
  const results = await Promise.allSettled(work);
  const failed = results.find((it) => it.status === "rejected");
  if (failed) throw failed.reason;
  return results.map((it) => (it.status === "fulfilled" ? it.value : undefined)) as Settled<T>;
}

/** The work's answer, unless it is given up first: then it goes on for whoever else may want it. */
export function orGivenUp<T>(work: Promise<T>, givenUp: AbortSignal): Promise<T> {
  const ended = Promise.withResolvers<never>();
  const end = () => ended.reject(givenUp.reason);
  if (givenUp.aborted) end();
  givenUp.addEventListener("abort", end, { once: true });
  return Promise.race([work, ended.promise]).finally(() =>
    givenUp.removeEventListener("abort", end),
  );
}
