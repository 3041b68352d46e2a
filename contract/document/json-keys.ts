type JsonPath = readonly (string | number)[];

/** Where the keys stand that JSON.parse takes without a word, at most as many of each as asked. */
export type KeysFound = {
  readonly twice: readonly JsonPath[];
  readonly proto: readonly JsonPath[];
};

/** An object or array that is open. `at` is the key or index that its present value stands under. */
type Open =
  | { readonly kind: "object"; readonly keys: Set<string>; at: string; awaitsKey: boolean }
  | { readonly kind: "array"; at: number };

/**
 * The keys that stand twice in one object, and `__proto__`, of a text that JSON.parse has taken: one
 * walk over its characters, since a parser that keeps every node takes seconds for a megabyte.
 */
export function findKeys(text: string, atMost: number): KeysFound {
  const open: Open[] = [];
  const twice: JsonPath[] = [];
  const proto: JsonPath[] = [];
  const note = (list: JsonPath[]) => {
    if (list.length < atMost) list.push(open.map(({ at }) => at));
  };
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (char === '"') {
      const end = endOfText(text, at);
      const inner = open.at(-1);
      if (inner?.kind === "object" && inner.awaitsKey) {
        inner.awaitsKey = false;
        inner.at = JSON.parse(text.slice(at, end + 1));
        if (inner.keys.has(inner.at)) note(twice);
        if (inner.at === "__proto__") note(proto);
        inner.keys.add(inner.at);
      }
      at = end;
    } else if (char === "{") {
      open.push({ kind: "object", keys: new Set(), at: "", awaitsKey: true });
    } else if (char === "[") open.push({ kind: "array", at: 0 });
    else if (char === "}" || char === "]") open.pop();
    else if (char === ",") goOn(open.at(-1));
  }
  return { twice, proto };
}

/** Past a comma: the object's next key, or the array's next element. */
function goOn(inner: Open | undefined): void {
  if (inner?.kind === "object") inner.awaitsKey = true;
  else if (inner) inner.at++;
}

/** The closing quote of the text that opens at `from`. */
function endOfText(text: string, from: number): number {
  let at = from + 1;
  while (at < text.length && text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
  return at;
}
