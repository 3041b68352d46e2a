/**
 * Asks for many things together: what is asked for while a pass runs is gathered for the next one, up to
 * `most` of it, oldest first. One pass at a time. What is asked for twice before its pass begins is asked
 * once; during its pass, once more after it, since that pass may have looked already.
 *
 * `pass` answers each key that it is given. What it throws, and a key that it does not answer, is thrown to
 * whoever asked.
 */
export function gather<Key, Answer>(options: {
  readonly most: number;
  readonly pass: (keys: readonly Key[]) => Promise<ReadonlyMap<Key, Answer>>;
}): (key: Key) => Promise<Answer> {
  const { most, pass } = options;
  const waiting = new Map<Key, PromiseWithResolvers<Answer>>();
  let running = false;
  const run = async () => {
    running = true;
    // What is asked for together is gathered from the first pass on.
    await undefined;
    while (waiting.size > 0) {
      const taken = [...waiting].slice(0, most);
      for (const [key] of taken) waiting.delete(key);
      try {
        const answers = await pass(taken.map(([key]) => key));
        for (const [key, { resolve, reject }] of taken) {
          if (answers.has(key)) resolve(answers.get(key) as Answer);
          else reject(new Error("a pass left out what it was asked for"));
        }
      } catch (error) {
        for (const [, { reject }] of taken) reject(error);
      }
    }
    running = false;
  };
  return (key) => {
    const asked = waiting.get(key) ?? Promise.withResolvers<Answer>();
    waiting.set(key, asked);
    if (!running) void run();
    return asked.promise;
  };
}
