import type { Db } from "../../db/client.ts";
import { relayBatch } from "../../db/outbox.ts";
import type { Queues } from "../queues.ts";

const BATCH = 200;

/** Carries every waiting nudge from PostgreSQL to Redis. A crash after the send repeats it under the same job id. */
export async function relayOutbox(db: Db, queues: Queues): Promise<void> {
  let carried: number;
  do {
    carried = await relayBatch(db, BATCH, async (nudges) => {
      await Promise.all(
        nudges.map(({ id, topic, subject }) => queues.add(topic, subject, `n${id}`)),
      );
    });
  } while (carried === BATCH);
}
