import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";

export type Ingress = { readonly address: string; readonly port: number };

export type Page = { readonly status: number; readonly text: string };

/**
 * One request through an ingress, on a connection of its own. fetch() does not let a caller choose
 * the Host header, so this speaks HTTP itself.
 */
export async function visit({ address, port }: Ingress, host: string, path = "/"): Promise<Page> {
  const asked = request({
    host: address,
    port,
    path,
    headers: { host },
    timeout: 10_000,
  });
  asked.on("timeout", () => asked.destroy(new Error("no answer in 10 s")));
  asked.end();
  const [answer] = (await once(asked, "response")) as [IncomingMessage];
  let text = "";
  for await (const chunk of answer) text += chunk;
  return { status: answer.statusCode ?? 0, text };
}
