/** Says one line to whoever watches. */
export type Say = (line: string) => void;

const FIRST_SIGN_MS = 1_000;
const SIGN_EVERY_MS = 5_000;

/**
 * Runs `work` and says how long it took. From its first second on it says that it goes on, so that
 * nobody looks at a silent terminal.
 */
export async function showing<T>(
  say: Say,
  name: string,
  work: () => Promise<T>,
  words: { readonly going: string; readonly done: (result: T) => string },
): Promise<T> {
  const fromMs = Date.now();
  const label = name.padEnd(12);
  const sign = () => say(`${label}${words.going}… ${seconds(Date.now() - fromMs)}`);
  let repeat: NodeJS.Timeout | undefined;
  const first = setTimeout(() => {
    say(`${label}${words.going}…`);
    repeat = setInterval(sign, SIGN_EVERY_MS);
  }, FIRST_SIGN_MS);
  try {
    const result = await work();
    say(`${label}${words.done(result)} in ${seconds(Date.now() - fromMs)}`);
    return result;
  } finally {
    clearTimeout(first);
    clearInterval(repeat);
  }
}

/** A span of time as people read it. */
export function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}
