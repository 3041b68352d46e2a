import type { Built } from "../../db/apps/builds.ts";

/** What came of a release's build, whatever its source: what it is frozen to, or why it never can be. */
export type Made =
  | {
      readonly kind: "made";
      readonly built: Built;
      /** Completed by how long it took. */
      readonly message: string;
      /** For the log. */
      readonly figures: Readonly<Record<string, unknown>>;
    }
  | { readonly kind: "refused"; readonly slug: string; readonly message: string };
