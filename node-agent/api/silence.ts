/** How a partner answers: since when not as it should, and what came instead. */
export type Silence = {
  heard(): void;
  /** `refused`: it did answer, and wants to know nothing of who asked. */
  missed(because: string, refused?: boolean): void;
  /** Whether it answered as it should at least once, and has refused nothing since. */
  confirmed(): boolean;
  /** Undefined while it answers, and before it was asked for the first time. */
  told(): { readonly since: string; readonly because: string } | undefined;
};

export function openSilence(): Silence {
  let since: string | undefined;
  let because = "";
  let confirmed = false;
  return {
    heard() {
      since = undefined;
      confirmed = true;
    },
    missed(words, refused = false) {
      if (refused) confirmed = false;
      since ??= new Date().toISOString();
      because = words;
    },
    confirmed: () => confirmed,
    told: () => (since === undefined ? undefined : { since, because }),
  };
}
