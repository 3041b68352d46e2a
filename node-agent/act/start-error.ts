/** A pod can not start as it was asked for; `reason` is Kubernetes' word for it. */
export class StartError extends Error {
  readonly reason: string;
  constructor(reason: string, message: string, cause?: unknown) {
    super(message, { cause });
    this.reason = reason;
  }
}

/** Passes on what the work gives; what it throws becomes a StartError of this reason. */
export async function named<T>(reason: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof StartError) throw error;
    throw new StartError(reason, rootMessage(error), error);
  }
}

/** What went wrong at the bottom of it, since "the runtime did not do X" helps nobody. */
function rootMessage(error: unknown): string {
  let deepest = error;
  while (deepest instanceof Error && deepest.cause !== undefined) deepest = deepest.cause;
  return deepest instanceof Error ? deepest.message : String(deepest);
}
