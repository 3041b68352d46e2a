/** The line to type on another host, and what is against it; null where nothing is known to be. */
export type JoinCommand = { readonly command: string; readonly note: string | null };

/**
 * The host is told of the address at which the api was asked for the token: whoever asked reached it
 * there. Over loopback that is an address of this machine alone; then `outward` stands for it, where
 * other hosts reach the api, and where they do not the note says so. Pure.
 */
export function joinCommand(askedAt: string, outward: string | null, token: string): JoinCommand {
  const api = new URL(askedAt);
  const isHere = LOOPBACK.test(api.hostname);
  if (isHere && outward !== null) api.hostname = outward.includes(":") ? `[${outward}]` : outward;
  const command = `npm run agent -- --api ${api.origin} --join ${token}`;
  if (!isHere || outward !== null) return { command, note: null };
  return {
    command,
    note: `No other host reaches the api at ${api.origin}: start it with WAYBILL_API_HOST set to an address that they reach, or give them the address of a proxy before it.`,
  };
}

const LOOPBACK = /^(127\.\d+\.\d+\.\d+|\[::1\]|(.+\.)?localhost)$/;
