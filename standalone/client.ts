import { readFileSync } from "node:fs";
import { join } from "node:path";
import { readClientEnv } from "./env.ts";

/** Where the api is, and whose token counts. */
export type Client = { readonly url: string; readonly token: string };

/** By the variables of whoever types a command; complains where that cannot be told. */
export function readClient(): Client | string {
  try {
    const { url, token, dataDir } = readClientEnv();
    return { url, token: token ?? readFileSync(join(dataDir, "admin.token"), "utf8").trim() };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return `Nobody can be asked: ${why}. Set WAYBILL_TOKEN, or WAYBILL_DATA_DIR as at npm start.`;
  }
}
