/*
 * Agents and the api of different versions. Each tells the protocol that it speaks in a header, the agent
 * with all that it asks and the api with all that it answers, since that is what every version lets pass.
 */

/**
 * Raised by one, once a version, by a change after which an agent of the number before refuses or misses
 * something of a wish, or an api of the number before cannot read what an agent says: a new field of a pod
 * or of anything else that a node is told, a field that goes, a new word among those of a list. A test
 * remembers it for what is told.
 *
 * Not raised by what is added to reports, logs, outputs and joining: the api drops what it does not know
 * there, and for what an older agent leaves out the schema has a default. No field ever means something
 * else than before: it gets another name, so that whoever reads strictly refuses it.
 */
export const PROTOCOL = 2;

export const PROTOCOL_HEADER = "waybill-protocol";

/** What whoever tells none speaks: it is of the time before there were numbers. */
const UNTOLD = 1;

/** The number in the header of a question or an answer; undefined where what stands there is none. */
export function toldProtocol(header: string | undefined): number | undefined {
  if (header === undefined) return UNTOLD;
  return /^[1-9]\d{0,8}$/.test(header) ? Number(header) : undefined;
}

/** What an agent of a later protocol says is not read: an older side cannot know what it means. */
export function isLater(protocol: number): boolean {
  return protocol > PROTOCOL;
}

/** In words, why a node takes no new pods for what its agent speaks, and what to do; undefined: it does. */
export function agentSkew(protocol: number): string | undefined {
  if (protocol === PROTOCOL) return undefined;
  const where = isLater(protocol) ? "where the api runs" : "on that host";
  return `its agent speaks protocol ${protocol}, the api ${PROTOCOL}: update Waybill ${where} and start it again`;
}

/** The same from the agent's side, of its api. */
export function apiSkew(protocol: number): string | undefined {
  if (protocol === PROTOCOL) return undefined;
  const where = isLater(protocol) ? "on this host" : "where the api runs";
  return `the api speaks protocol ${protocol}, this agent ${PROTOCOL}: update Waybill ${where} and start it again`;
}
