import type { AppId } from "../../contract/ids.ts";
import { findCaller } from "../../db/access/callers.ts";
import { findApp } from "../../db/apps/apps.ts";
import { podsOfApps } from "../../db/nodes/sight.ts";
import { isInScope, type KnownCall } from "./route.ts";

/** Revoking a token ends what it holds open within this time. */
const LOOK_EVERY_MS = 4_000;

/** Whether whoever holds a stream open may go on listening; asks the database now and then only. */
export type Listener = { mayGoOn(): Promise<boolean> };

export function openListener(call: KnownCall): Listener {
  let lookedAtMs = Date.now();
  let allowed = true;
  return {
    mayGoOn: async () => {
      if (!allowed || Date.now() - lookedAtMs < LOOK_EVERY_MS) return allowed;
      lookedAtMs = Date.now();
      const token = await findCaller(call.deps.db, call.caller.tokenId);
      allowed = token !== undefined && isInScope(call.route, token.scopes);
      return allowed;
    },
  };
}

/** Whether the app is still wished for, or some pod of it still seen. */
export async function isThere(call: KnownCall, app: { id: AppId; name: string }): Promise<boolean> {
  const found = await findApp(call.deps.db, call.caller.projectId, app.name);
  if (found?.id === app.id) return true;
  return (await podsOfApps(call.deps.db, [app.id])).has(app.id);
}
