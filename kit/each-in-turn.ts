/** Acts on one after the other: one that fails keeps none of the others from its turn. */
export async function eachInTurn<T>(
  items: readonly T[],
  act: (item: T) => Promise<unknown>,
): Promise<void> {
  const troubles: unknown[] = [];
  for (const item of items) await act(item).catch((error: unknown) => troubles.push(error));
  if (troubles.length === 0) return;
  const message = `${troubles.length} of ${items.length} failed, the first one by this`;
  throw new Error(message, { cause: troubles[0] });
}
