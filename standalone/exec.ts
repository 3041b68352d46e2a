import { readClient } from "./client.ts";
import {
  EXEC_HELP,
  type ExecWords,
  execUrl,
  exitOf,
  parseExecWords,
  wantsHelp,
} from "./exec-plan.ts";

/* `npm run exec`: a command in an app's container, with this terminal. */

const CHANNEL = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 } as const;
const PROTOCOLS = ["v5.channel.k8s.io", "v4.channel.k8s.io"];
/** While so much waits to be sent, nothing more is read. */
const MAX_WAITING_BYTES = 256 * 1024;
const PIECE_BYTES = 32 * 1024;
const BROKEN = "the connection broke";

function run(words: ExecWords, base: string, token: string): Promise<number> {
  const done = Promise.withResolvers<number>();
  const options = { protocols: PROTOCOLS, headers: { authorization: `Bearer ${token}` } };
  // Node.js's own takes headers here as well, which the standard's type does not know.
  const socket = new WebSocket(execUrl(base, words), options as unknown as string[]);
  socket.binaryType = "arraybuffer";
  let opened = false;
  let told = false;
  socket.addEventListener("open", () => {
    opened = true;
    if (words.stdin) sendInput(socket, words.tty);
    if (words.tty) followSize(socket);
  });
  socket.addEventListener("message", ({ data }) => {
    const frame = Buffer.from(data as ArrayBuffer);
    const bytes = frame.subarray(1);
    if (frame[0] === CHANNEL.stdout) process.stdout.write(bytes);
    if (frame[0] === CHANNEL.stderr) process.stderr.write(bytes);
    if (frame[0] !== CHANNEL.error) return;
    told = true;
    const { code, words: said } = exitOf(bytes.toString("utf8"));
    if (said !== undefined) process.stderr.write(`${said}\n`);
    done.resolve(code);
  });
  socket.addEventListener("close", ({ reason }) => {
    if (told) return;
    process.stderr.write(`The session ended before its command did: ${reason || BROKEN}.\n`);
    done.resolve(255);
  });
  socket.addEventListener("error", () => {
    // One that breaks later is closed too, and that says it.
    if (opened) return;
    told = true;
    explain(words, base, token).then((why) => {
      process.stderr.write(`${why}\n`);
      done.resolve(255);
    });
  });
  return done.promise.finally(() => socket.close());
}

/** A refused WebSocket says nothing of its reason; the same question without one does. */
async function explain(words: ExecWords, base: string, token: string): Promise<string> {
  const url = execUrl(base, words).replace(/^ws/, "http");
  try {
    const answer = await fetch(url, { headers: { authorization: `Bearer ${token}` } });
    // Something in between may have answered, such as a proxy with a page of its own.
    const problem = (await answer.json().catch(() => ({}))) as { detail?: string; type?: string };
    const refused = problem.type !== "/problems/web-socket-needed";
    return refused ? (problem.detail ?? `HTTP ${answer.status}`) : BROKEN;
  } catch (error) {
    return `${base} cannot be reached: ${error instanceof Error ? error.message : String(error)}`;
  }
}

function sendInput(socket: WebSocket, tty: boolean): void {
  const { stdin } = process;
  if (tty && stdin.isTTY) stdin.setRawMode(true);
  stdin.on("data", (bytes: Buffer) => {
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
      send(socket, CHANNEL.stdin, bytes.subarray(at, at + PIECE_BYTES));
    }
    if (socket.bufferedAmount > MAX_WAITING_BYTES) stdin.pause();
  });
  setInterval(() => {
    if (stdin.isPaused() && socket.bufferedAmount < MAX_WAITING_BYTES) stdin.resume();
  }, 20).unref();
  stdin.on("end", () => send(socket, CHANNEL.close, Buffer.of(CHANNEL.stdin)));
}

function followSize(socket: WebSocket): void {
  const tell = () => {
    const { columns: Width = 80, rows: Height = 24 } = process.stdout;
    send(socket, CHANNEL.resize, Buffer.from(JSON.stringify({ Width, Height })));
  };
  tell();
  process.stdout.on("resize", tell);
}

function send(socket: WebSocket, channel: number, bytes: Buffer): void {
  if (socket.readyState === WebSocket.OPEN) socket.send(Buffer.concat([Buffer.of(channel), bytes]));
}

const argv = process.argv.slice(2);
const words = parseExecWords(argv);
if (wantsHelp(argv)) {
  process.stdout.write(EXEC_HELP);
} else if (typeof words === "string") {
  process.stderr.write(`${words}\n\n${EXEC_HELP}`);
  process.exitCode = 2;
} else {
  const client = readClient();
  if (typeof client === "string") {
    process.stderr.write(`${client}\n`);
    process.exitCode = 255;
  } else {
    process.exitCode = await run(words, client.url, client.token);
    if (process.stdin.isTTY) process.stdin.setRawMode(false);
    process.stdin.destroy();
  }
}
