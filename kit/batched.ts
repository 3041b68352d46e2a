/**
 * Answers single questions by batches. What is asked while batches are under way goes together into the
 * next one: a lone question waits for nothing, and ten thousand at once cost a few batches. No question
 * is answered by a batch that began before it was asked.
 *
 * `answer` gets at most `atMost` questions, in the order in which they were asked, and answers them in
 * that order; it may answer the first ones only, one at least, and the others are asked again. What it
 * throws, all of the batch are told; an answer that is a promise is told to its own question. At most
 * `atOnce` batches are under way, and one that is not full starts no sooner than `everyMs` after the one
 * before: where many ask one after the other, that is what makes them few.
 */
export function batched<Question, Answer>(
  limits: { readonly atMost: number; readonly atOnce: number; readonly everyMs: number },
  answer: (questions: readonly Question[]) => Promise<readonly (Answer | Promise<Answer>)[]>,
): (question: Question) => Promise<Answer> {
  type Asked = { readonly question: Question } & Pick<
    PromiseWithResolvers<Answer>,
    "resolve" | "reject"
  >;
  let waiting: Asked[] = [];
  let underWay = 0;
  let startedAtMs = Number.NEGATIVE_INFINITY;
  let isPaused = false;

  async function next(): Promise<void> {
    const batch = waiting.slice(0, limits.atMost);
    waiting = waiting.slice(limits.atMost);
    underWay += 1;
    startedAtMs = performance.now();
    try {
      const answers = await answer(batch.map((it) => it.question));
      if (answers.length === 0) throw new Error(`none of ${batch.length} questions was answered`);
      for (const [at, given] of answers.entries()) batch[at]?.resolve(given);
      waiting = [...batch.slice(answers.length), ...waiting];
    } catch (error) {
      for (const asked of batch) asked.reject(error);
    } finally {
      underWay -= 1;
      start();
    }
  }

  function start(): void {
    while (underWay < limits.atOnce && waiting.length > 0) {
      const earlyMs = startedAtMs + limits.everyMs - performance.now();
      if (earlyMs > 0 && waiting.length < limits.atMost) {
        if (!isPaused) setTimeout(resume, earlyMs);
        isPaused = true;
        return;
      }
      void next();
    }
  }

  function resume(): void {
    isPaused = false;
    start();
  }

  return (question) => {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    waiting.push({ question, resolve, reject });
    // Not at once: those who are woken together ask one after the other, and are to come along.
    if (waiting.length === 1) queueMicrotask(start);
    return promise;
  };
}
