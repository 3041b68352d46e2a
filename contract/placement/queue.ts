/** Things in their order, of which only the first is looked at: a binary heap. */
export type Queue<T> = {
  first(): T | undefined;
  dropFirst(): void;
  /** Something else in the place of the first: it goes to where it belongs. */
  replaceFirst(by: T): void;
};

/** `ahead` is a strict order. Made in linear time, and each change takes logarithmic time. */
export function queueOf<T>(items: readonly T[], ahead: (a: T, b: T) => boolean): Queue<T> {
  const heap = [...items];
  const sink = (from: number) => {
    let at = from;
    for (;;) {
      let next = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < heap.length && ahead(heap[child] as T, heap[next] as T)) next = child;
      }
      if (next === at) return;
      [heap[at], heap[next]] = [heap[next] as T, heap[at] as T];
      at = next;
    }
  };
  for (let at = (heap.length >> 1) - 1; at >= 0; at--) sink(at);
  return {
    first: () => heap[0],
    dropFirst: () => {
      const last = heap.pop();
      if (last === undefined || heap.length === 0) return;
      heap[0] = last;
      sink(0);
    },
    replaceFirst: (by) => {
      heap[0] = by;
      sink(0);
    },
  };
}
