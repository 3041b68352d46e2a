/*
 * Words of others, on their way into a report. Pure.
 */

/** At most `chars` of them as the contract counts, no half of a character, and no NUL, which no database keeps. */
export function cut(words: string, chars: number): string {
  const whole = words.replaceAll("\0", "").toWellFormed();
  const isHalved = /[\ud800-\udbff]/.test(whole.charAt(chars - 1));
  return whole.slice(0, isHalved ? chars - 1 : chars);
}

/** On one line, without control characters: it ends up in terminals and logs. */
export function oneLine(words: string, chars: number): string {
  return cut(words.replace(/\p{C}+/gu, " ").trim(), chars);
}

/** A runtime wraps why a command cannot be started into the names of all its layers; the innermost says it. */
export function innermost(message: string): string {
  return /exec: ".*$/s.exec(message.replace(/: unknown$/, ""))?.[0] ?? message;
}
