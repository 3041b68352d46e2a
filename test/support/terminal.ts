import { once } from "node:events";
import { WebSocket } from "ws";
import { eventually } from "./eventually.ts";

/** An open terminal, as a person's client has it. */
export type Terminal = Disposable & {
  readonly protocol: string;
  /** All that came on the channel, as text. */
  said(channel: number): string;
  send(channel: number, text: string): void;
  /** Waits until the output holds the text; how long that took in ms. */
  until(text: string): Promise<number>;
  /** Resolves with the code of the connection's end. */
  readonly closed: Promise<number>;
  close(): void;
};

/** Opens the WebSocket, or rejects with "Unexpected server response: <status>". */
export async function openTerminal(
  url: string,
  token: string | null,
  protocols: string[] = ["v4.channel.k8s.io"],
): Promise<Terminal> {
  const socket = new WebSocket(url.replace(/^http/, "ws"), protocols, {
    headers: token === null ? {} : { authorization: `Bearer ${token}` },
  });
  const said = new Map<number, string>();
  socket.on("message", (message: Buffer) => {
    const channel = message[0] ?? -1;
    said.set(channel, (said.get(channel) ?? "") + message.subarray(1).toString("utf8"));
  });
  const closed = new Promise<number>((resolve) => socket.once("close", resolve));
  await once(socket, "open");
  return {
    protocol: socket.protocol,
    said: (channel) => said.get(channel) ?? "",
    send: (channel, text) => socket.send(Buffer.concat([Buffer.of(channel), Buffer.from(text)])),
    until: async (text) => {
      const startedAtMs = performance.now();
      await eventually(
        () => {
          if (!said.get(1)?.includes(text)) throw new Error(`not yet: ${said.get(1)}`);
        },
        { everyMs: 1 },
      );
      return performance.now() - startedAtMs;
    },
    closed,
    close: () => socket.close(),
    [Symbol.dispose]: () => socket.terminate(),
  };
}
