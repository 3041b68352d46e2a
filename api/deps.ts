import type { Context } from "hono";
import type { HostPolicy } from "../contract/pod/host-policy.ts";
import type { Db } from "../db/client.ts";
import type { Log } from "../kit/log.ts";
import type { Ask } from "./ask.ts";
import type { Changes } from "./http/changes.ts";
import type { Later } from "./http/later.ts";
import type { Upgrade } from "./http/wire.ts";
import type { SecretsDoor } from "./materials/secrets-door.ts";

/** A SHA-256 under way. */
export type Hash = { update(bytes: Uint8Array | string): void; hex(): string };

/** All that the api touches. Only main.ts and edge.ts know how a platform gives it. */
export type ApiDeps = {
  readonly db: Db;
  readonly ask: Ask;
  readonly registry: { readonly url: string; readonly fetch: typeof fetch };
  readonly sha256: () => Hash;
  readonly randomBytes: (count: number) => Uint8Array;
  readonly changes: Changes;
  readonly secrets: SecretsDoor;
  readonly config: ApiConfig;
  readonly log: Log;
  /** Aborted when the process is about to end: whoever waits is answered at once. */
  readonly stopping: AbortSignal;
  readonly addressOf: (c: Context) => string | null;
  /** The api's own address that the caller came to; null where the platform does not say. */
  readonly reachedAt: (c: Context) => string | null;
  /** Where other hosts reach the api, an address or a name; null where none does, or the platform does not say. */
  readonly outward: () => Promise<string | null>;
  readonly upgrade: Upgrade;
  readonly later: Later;
};

export type ApiConfig = {
  readonly appsDomain: string;
  readonly httpPort: number;
  readonly maxArtifactBytes: number;
  /** What of a host the operator lets pods use. */
  readonly hostPolicy: HostPolicy;
};

export function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function sha256Bytes(deps: Pick<ApiDeps, "sha256">, text: string): Uint8Array {
  const hex = sha256Hex(deps, text);
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

export function sha256Hex(deps: Pick<ApiDeps, "sha256">, text: string): string {
  const hash = deps.sha256();
  hash.update(text);
  return hash.hex();
}
