/** A range of IPv4 addresses, as its first and last number. */
export type Cidr = { readonly first: number; readonly last: number };

/** Reads `10.1.2.0/24`, or one address; undefined for anything else. */
export function parseCidr(text: string): Cidr | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?:\/(\d{1,2}))?$/.exec(text);
  if (!match) return undefined;
  const parts = match.slice(1, 5).map(Number);
  const bits = match[5] === undefined ? 32 : Number(match[5]);
  if (bits > 32 || parts.some((part) => part > 255)) return undefined;
  const size = 2 ** (32 - bits);
  const address = parts.reduce((sum, part) => sum * 256 + part, 0);
  const first = address - (address % size);
  return { first, last: first + size - 1 };
}

/** Those of the texts that are ranges of addresses. */
export function parseCidrs(texts: readonly string[]): readonly Cidr[] {
  return texts.map(parseCidr).filter((cidr) => cidr !== undefined);
}

/** Those of `networks` that share an address with `range`. */
export function overlapping(range: string, networks: readonly string[]): readonly string[] {
  const own = parseCidr(range);
  return networks.filter((text) => {
    const other = parseCidr(text);
    return own !== undefined && other !== undefined && overlap(own, other);
  });
}

const SECOND_BYTES = { from: 64, count: 64 };

/**
 * A network of 256 addresses between 10.64.0.0 and 10.127.255.255 that overlaps none of `taken`.
 * `pick(n)` is a random number below n, so that two installations made at once differ too.
 */
export function freePodCidr(taken: readonly Cidr[], pick: (below: number) => number): string {
  const networks = SECOND_BYTES.count * 256;
  const start = pick(networks);
  for (let offset = 0; offset < networks; offset++) {
    const index = (start + offset) % networks;
    const text = `10.${SECOND_BYTES.from + Math.floor(index / 256)}.${index % 256}.0/24`;
    const cidr = parseCidr(text);
    if (cidr && !taken.some((other) => overlap(cidr, other))) return text;
  }
  throw new Error("every network from 10.64.0.0 to 10.127.255.255 is in use on this machine");
}

function overlap(a: Cidr, b: Cidr): boolean {
  return a.first <= b.last && b.first <= a.last;
}
