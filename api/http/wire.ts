import type { Context } from "hono";

/** One side of an open WebSocket; messages are whole. */
export type Wire = {
  /** What comes, in order, as slowly as it is taken; ends when the other side has closed or is gone. */
  readonly incoming: AsyncIterable<Uint8Array>;
  /** Resolves when the network has taken it, or the other side is gone. */
  send(message: Uint8Array): Promise<void>;
  close(code: number, reason: string): void;
  /** Aborted when the other side has closed or is gone. */
  readonly closed: AbortSignal;
};

/**
 * How a platform turns the request under way into a WebSocket that `serve` has until it returns. The
 * answer is for the platform, to be handed back as it is. `protocols` are ours, best first.
 */
export type Upgrade = (
  c: Context,
  protocols: readonly string[],
  serve: (wire: Wire) => Promise<void>,
) => Response;
