const UNSAFE = /[\p{Cc}\u2028\u2029\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]/gu;

/**
 * For people's terminals: what an app wrote can neither move the cursor, colour it nor begin a line
 * of its own. The carriage return of a terminal's line end says nothing; a tab is as good as spaces.
 */
export function plainText(text: string): string {
  return text.replace(/\r$/, "").replace(UNSAFE, (found) => {
    if (found === "\t") return found;
    const code = found.charCodeAt(0);
    return code < 0x100
      ? `\\x${code.toString(16).padStart(2, "0")}`
      : `\\u${code.toString(16).padStart(4, "0")}`;
  });
}
