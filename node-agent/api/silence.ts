/** Since when a partner has not answered as it should, and what came instead. */
export type Silence = {
  heard(): void;
  missed(because: string): void;
  /** Whether it has answered at all. */
  answered(): boolean;
  /** Undefined while it answers, and before it was asked for the first time. */
  told(): { readonly since: string; readonly because: string } | undefined;
};

export function openSilence(): Silence {
  let since: string | undefined;
  let because = "";
  let answered = false;
  return {
    heard() {
      since = undefined;
      answered = true;
    },
    missed(words) {
      since ??= new Date().toISOString();
      because = words;
    },
    answered: () => answered,
    told: () => (since === undefined ? undefined : { since, because }),
  };
}
