export type Fields = Readonly<Record<string, unknown>>;

export type Log = {
  info(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  error(message: string, error: unknown, fields?: Fields): void;
};

/** JSON lines on stdout, one record a line whatever the values hold; errors print their whole cause chain. */
export function openLog(part: string, write: (line: string) => void = writeStdout): Log {
  const line = (level: string, message: string, fields: Fields = {}) =>
    write(`${JSON.stringify({ at: new Date().toISOString(), level, part, message, ...fields })}\n`);
  return {
    info: (message, fields) => line("info", message, fields),
    warn: (message, fields) => line("warn", message, fields),
    error: (message, error, fields) =>
      line("error", message, { ...fields, causes: causeChain(error) }),
  };
}

/** Every message from the error down to its first cause; the innermost carries its stack. */
export function causeChain(error: unknown): string[] {
  const chain: string[] = [];
  let current = error;
  while (current instanceof Error && chain.length < 10) {
    chain.push(current.cause === undefined ? (current.stack ?? current.message) : current.message);
    current = current.cause;
  }
  if (current !== undefined && !(current instanceof Error)) chain.push(String(current));
  return chain;
}

function writeStdout(line: string): void {
  process.stdout.write(line);
}
