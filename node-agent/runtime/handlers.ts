import { DnsLabel } from "../../contract/ids.ts";

/** What a runtime says of itself when it is asked for everything. */
export type RuntimeStatus = {
  readonly runtime_handlers: readonly { readonly name: string }[];
  readonly info: { readonly config?: string };
};

/**
 * The handlers that a pod may name, sorted. Newer runtimes list them; containerd before 2.0 tells its
 * configuration instead. A name that no `runtimeClassName` can spell is left out. Pure.
 */
export function handlersOf({ runtime_handlers, info }: RuntimeStatus): readonly string[] {
  const listed = runtime_handlers.map((it) => it.name);
  const names = listed.length > 0 ? listed : configured(info.config);
  return [...new Set(names)].filter((it) => DnsLabel.safeParse(it).success).toSorted();
}

function configured(config: string | undefined): readonly string[] {
  if (config === undefined) return [];
  const { containerd } = JSON.parse(config) as {
    readonly containerd?: { readonly runtimes?: object };
  };
  return Object.keys(containerd?.runtimes ?? {});
}
