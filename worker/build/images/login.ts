import { z } from "zod";
import { type EgressAnswer, EgressRefused } from "../../egress/request.ts";

/** What a registry says about where tokens for it are given. */
export type Challenge = { readonly realm: string; readonly service: string | undefined };

/** The Bearer challenge of a 401; undefined where there is none, as where a password is wanted. */
export function challengeOf(headers: Headers): Challenge | undefined {
  const header = headers.get("www-authenticate") ?? "";
  const [, parameters] = /(?:^|,\s*)bearer\s+(.*)$/i.exec(header) ?? [];
  if (parameters === undefined) return undefined;
  const named = Object.fromEntries(
    [...parameters.matchAll(/([a-z]+)="([^"]*)"/gi)].map(([, key = "", value = ""]) => [
      key.toLowerCase(),
      value,
    ]),
  );
  const { realm, service } = named;
  return realm === undefined ? undefined : { realm, service };
}

/** Asks for nothing but to pull this repository, whatever the registry said should be asked for. */
export function tokenUrl({ realm, service }: Challenge, repository: string): URL {
  const url = URL.parse(realm);
  if (url === null) throw new EgressRefused("it names no place where tokens are given");
  if (service !== undefined) url.searchParams.set("service", service);
  url.searchParams.set("scope", `repository:${repository}:pull`);
  return url;
}

const MAX_TOKEN_BYTES = 64 * 1024;
/** Both names are in use; printable, since it goes into a header. */
const Text = z
  .string()
  .min(1)
  .regex(/^[\x21-\x7e]+$/);
const Token = z.object({ token: Text.optional(), access_token: Text.optional() });

/** The token in an answer; undefined where the place gives none to the anonymous. */
export async function readToken({ status, body }: EgressAnswer): Promise<string | undefined> {
  if (status === 401 || status === 403) {
    body.destroy();
    return undefined;
  }
  let text = "";
  for await (const chunk of body.setEncoding("utf8")) {
    text += chunk;
    if (text.length > MAX_TOKEN_BYTES) throw new Error("a token service answers without an end");
  }
  if (status !== 200) throw new Error(`a token service answered ${status}`);
  const read = Token.parse(JSON.parse(text));
  return read.token ?? read.access_token;
}
