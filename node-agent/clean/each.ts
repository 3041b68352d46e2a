/**
 * Does the work for each item, one after the other. One that fails keeps no other from its turn; in
 * the end it throws with how many failed, and the first one's error as the cause.
 */
export async function each<T>(
  items: Iterable<T>,
  work: (item: T) => void | Promise<void>,
): Promise<void> {
  let done = 0;
  const errors: unknown[] = [];
  for (const item of items) {
    try {
      await work(item);
      done += 1;
    } catch (error) {
      errors.push(error);
    }
  }
  const [first] = errors;
  if (errors.length > 0)
    throw new Error(`${errors.length} of ${errors.length + done} failed`, { cause: first });
}
