/** The part of a zod schema that is used here, so that kit imports nothing. */
export type EnvSchema<T> = {
  safeParse(
    source: unknown,
  ):
    | { success: true; data: T }
    | { success: false; error: { issues: readonly { path: PropertyKey[]; message: string }[] } };
};

/** Reads a process's variables once, at its start; throws one error that names every bad variable. */
export function readEnv<T>(
  schema: EnvSchema<T>,
  source: Readonly<Record<string, string | undefined>> = process.env,
): T {
  const read = schema.safeParse(source);
  if (read.success) return read.data;
  const complaints = read.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
  throw new Error(`These variables are not usable: ${complaints.join("; ")}`);
}
