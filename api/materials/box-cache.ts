/** What agents of some hundred nodes hold at once, and a small part of the api's memory. */
const MAX_CHARS = 32 * 1024 * 1024;

/**
 * What was sealed for a node, by a key that names node and version: each is sealed once a process and
 * not once a poll. Holds nothing in the clear. The ones that were not asked for longest go first.
 */
export type BoxCache = {
  get(key: string): string | undefined;
  put(key: string, box: string): void;
};

export function boxCache(maxChars = MAX_CHARS): BoxCache {
  const boxes = new Map<string, string>();
  let held = 0;
  const drop = (key: string) => {
    held -= boxes.get(key)?.length ?? 0;
    boxes.delete(key);
  };
  return {
    get: (key) => {
      const box = boxes.get(key);
      if (box === undefined) return undefined;
      boxes.delete(key);
      boxes.set(key, box);
      return box;
    },
    put: (key, box) => {
      drop(key);
      boxes.set(key, box);
      held += box.length;
      for (const oldest of boxes.keys()) {
        if (held <= maxChars) break;
        drop(oldest);
      }
    },
  };
}
