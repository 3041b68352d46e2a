import { Problem } from "../../contract/problem.ts";
import type { Db } from "../../db/client.ts";
import { type NodeView, podsOnNode, viewNode, whyStaying } from "../../db/nodes/nodes.ts";
import { problemBody, toProblem } from "../http/problems.ts";
import type { KnownCall } from "../http/route.ts";
import { streamed } from "../http/streamed.ts";
import { type NodeDetails, nodeDetails } from "./answers.ts";
import { noNode } from "./wishes.ts";

/** What is said on the way is heard of late: only the node's generations are announced. */
const LOOK_EVERY_MS = 1_000;

/** Answers when no pod is left there; as NDJSON, where that is accepted, with a line for each that goes. */
export async function answerDrained(
  call: KnownCall,
  name: string,
  timeoutSeconds: number,
): Promise<Response> {
  const looks = follow(call, name, Date.now() + timeoutSeconds * 1_000);
  if ((call.c.req.header("accept") ?? "").includes("application/x-ndjson"))
    return streamed("application/x-ndjson", lines(looks));
  for (;;) {
    const step = await looks.next();
    if (step.done) return call.c.json(step.value);
  }
}

/** Each look that is another than the one before, until nothing is left; throws where that is not to be. */
async function* follow(
  call: KnownCall,
  name: string,
  untilMs: number,
): AsyncGenerator<NodeDetails, NodeDetails> {
  const signal = AbortSignal.any([call.c.req.raw.signal, call.deps.stopping]);
  let { details, id } = await look(call, name);
  using watch = call.deps.changes.watch(`node:${id}`);
  let said = "";
  for (;;) {
    if (details.drain === null)
      throw new Problem("node-in-use", `Somebody ended the drain of ${name}: it was uncordoned.`);
    if (details.drain.done) return details;
    if (details.drain.message !== said) yield details;
    said = details.drain.message;
    const leftMs = untilMs - Date.now();
    if (leftMs <= 0 || signal.aborted) {
      const extras = { node: name, left: details.drain.left };
      throw new Problem(
        "wait-timeout",
        `${name} is not empty yet, and its drain goes on: ${said}.`,
        {
          extras,
        },
      );
    }
    await watch.changed(Math.min(leftMs, LOOK_EVERY_MS), signal);
    ({ details, id } = await look(call, name));
  }
}

async function look(call: KnownCall, name: string) {
  const { db } = call.deps;
  const node = await viewNode(db, name);
  if (node === undefined) throw noNode(name);
  return { id: node.id, details: await detailsOf(db, node) };
}

/** All that is told of one node. */
export async function detailsOf(db: Db, node: NodeView): Promise<NodeDetails> {
  const pods = await podsOnNode(db, node.id);
  const waiting = node.draining ? await whyStaying(db, node.id) : [];
  return nodeDetails(node, pods, waiting, Date.now());
}

async function* lines(
  looks: AsyncGenerator<NodeDetails, NodeDetails>,
): AsyncGenerator<string, void> {
  try {
    for (;;) {
      const { done, value } = await looks.next();
      const { name: node, drain } = value;
      const type = done ? "verdict" : "drain";
      yield `${JSON.stringify({ type, node, ...drain, ...(done && { status: 200 }) })}\n`;
      if (done) return;
    }
  } catch (error) {
    const { type: problem, ...rest } = problemBody(toProblem(error));
    yield `${JSON.stringify({ type: "verdict", ...rest, problem })}\n`;
  }
}
