/**
 * Whether the error says to come back later, rather than that a statement was wrong: the database
 * cannot be reached, takes no more connections, or gave way to another transaction.
 */
export function databaseUnavailable(error: unknown): boolean {
  const code = codeOf(error);
  if (code === undefined) return false;
  const connection = ["ECONNREFUSED", "ECONNRESET", "ENOENT", "EPIPE", "ETIMEDOUT"];
  return (
    connection.includes(code) ||
    gaveWay(error) ||
    code.startsWith("CONNECT") ||
    /^(08|53|57)/.test(code)
  );
}

/** PostgreSQL ended the transaction for the sake of another: the same once more may well go through. */
export function gaveWay(error: unknown): boolean {
  return ["40001", "40P01"].includes(codeOf(error) ?? "");
}

/** The name of the constraint that a statement was refused by; undefined where that is not why it failed. */
export function brokenConstraint(error: unknown): string | undefined {
  for (const it of chainOf(error)) {
    if ("constraint_name" in it && typeof it.constraint_name === "string")
      return it.constraint_name;
  }
  return undefined;
}

/**
 * The error, and each of its causes, without the values that a statement carried: drizzle writes
 * them into its message, and a log is no place for what users put into their specs.
 */
export function withoutValues(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const cause = withoutValues(error.cause);
  if ("params" in error && "query" in error) {
    return new Error(`a statement failed: ${String(error.query)}`, { cause });
  }
  return cause === error.cause ? error : new Error(error.message, { cause });
}

/** PostgreSQL's code, or the system's. */
function codeOf(error: unknown): string | undefined {
  for (const it of chainOf(error)) {
    if ("code" in it && typeof it.code === "string") return it.code;
  }
  return undefined;
}

/** The error and its causes: drizzle wraps what the driver says. */
function* chainOf(error: unknown): Generator<Error, void> {
  let current = error;
  while (current instanceof Error) {
    yield current;
    current = current instanceof AggregateError ? current.errors[0] : current.cause;
  }
}
