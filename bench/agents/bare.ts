import { createServer, type ServerResponse } from "node:http";
import postgres from "postgres";
import { SESSION_HEADER } from "../../contract/node/host.ts";
import { CHANGES_CHANNEL } from "../../db/outbox.ts";

/*
 * The baseline: Node.js's own server holding the same requests, answering the same bytes on the same
 * notifications, with no thought of who asks. Here a session is its node's id.
 */

const { DATABASE_URL = "", PORT = "0", BODY = "" } = process.env;
const waiting = new Map<string, ServerResponse>();
let generation = 1;

const answer = (response: ServerResponse) => {
  response.writeHead(200, { "content-type": "application/json", etag: `"${generation}"` });
  response.end(BODY);
};

const client = postgres(DATABASE_URL, { max: 1 });
await client.listen(CHANGES_CHANNEL, (topic) => {
  generation += 1;
  const id = topic.slice("node:".length);
  for (const key of id === "*" ? [...waiting.keys()] : [id]) {
    const response = waiting.get(key);
    waiting.delete(key);
    if (response) answer(response);
  }
});

const server = createServer((request, response) => {
  if (request.method === "POST") {
    request.resume();
    request.on("end", () => response.writeHead(204).end());
    return;
  }
  if (request.headers["if-none-match"] === undefined) return answer(response);
  const key = String(request.headers[SESSION_HEADER]);
  waiting.set(key, response);
  response.on("close", () => {
    if (waiting.get(key) === response) waiting.delete(key);
  });
});
server.listen(Number(PORT), "127.0.0.1", 4_096, () => console.log('"bare ready"'));
