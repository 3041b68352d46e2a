import { connect, type Socket } from "node:net";

export type Answer = { readonly status: number; readonly etag: string | undefined };

/**
 * One HTTP request on a connection of its own, as an agent makes it, with the least that one side of
 * such a connection can cost: what is measured is the other side. Calls back once.
 */
export function call(
  to: { readonly port: number; readonly from: string },
  request: string,
  done: (answer: Answer | Error) => void,
): Socket {
  const socket = connect({ host: "127.0.0.1", port: to.port, localAddress: to.from });
  let text = "";
  let isDone = false;
  const end = (answer: Answer | Error) => {
    if (isDone) return;
    isDone = true;
    socket.destroy();
    done(answer);
  };
  socket.setEncoding("latin1");
  socket.setNoDelay(true);
  socket.write(request);
  socket.on("data", (chunk: string) => {
    text += chunk;
    const answer = answerIn(text);
    if (answer) end(answer);
  });
  socket.on("error", end);
  socket.on("close", () => end(new Error("closed without an answer")));
  return socket;
}

/** Undefined while it is not whole. */
function answerIn(text: string): Answer | undefined {
  const headEnd = text.indexOf("\r\n\r\n");
  if (headEnd < 0) return undefined;
  const head = text.slice(0, headEnd);
  const status = Number(head.slice(9, 12));
  const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
  const chunked = /\r\ntransfer-encoding: *chunked/i.test(head);
  if (chunked ? !text.endsWith("0\r\n\r\n") : text.length < headEnd + 4 + length) return undefined;
  return { status, etag: /\r\netag: *(\S+)/i.exec(head)?.[1] };
}
