import { mkdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { type CaddyOptions, caddyPart } from "../../standalone/parts/caddy.ts";
import { aProgram, type Command, type TestProgram } from "./program.ts";

/** A node's ingress, to be started, the router first; whoever asks for it ends both. */
export type TestIngress = {
  readonly front: TestProgram;
  readonly router: TestProgram;
  readonly adminSocket: string;
  readonly ingressSocket: string;
};

export async function anIngress(
  said: CaddyOptions & { readonly onHost?: (command: Command) => Command },
): Promise<TestIngress> {
  const { onHost = (command) => command } = said;
  const { front, router, ingressSocket } = caddyPart(said);
  for (const { path, text } of [...front.files, ...router.files]) {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text);
  }
  return {
    front: aProgram(onHost(front)),
    router: aProgram(onHost(router)),
    adminSocket: router.adminSocket,
    ingressSocket,
  };
}
