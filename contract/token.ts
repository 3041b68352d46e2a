/** What a token is for: a person, a machine of people (CI), a node's agent, or the joining of one. */
export type TokenKind = "personal" | "service" | "node" | "join";

export type TokenParts = {
  readonly kind: TokenKind;
  /** Ten base62 characters; public, the row's key. */
  readonly id: string;
  /** Thirty-two base62 characters, 190 bits; only its hash is kept. */
  readonly secret: string;
};

const BRAND = "wb";
const ID_CHARS = 10;
const SECRET_CHARS = 32;
const CRC_CHARS = 6;
const BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const LETTERS = { personal: "p", service: "s", node: "n", join: "j" } as const;
const TOKEN = /^wb([psnj])_([0-9A-Za-z]{10})([0-9A-Za-z]{32})([0-9A-Za-z]{6})$/;

/** The text that is shown once: `wbp_<id><secret><crc>`, one word for a double click and for scanners. */
export function formatToken({ kind, id, secret }: TokenParts): string {
  const body = `${BRAND}${LETTERS[kind]}_${id}${secret}`;
  return body + checksum(body);
}

/** The parts of a well-formed token; undefined for anything else, mistyped ones included, without a look at any list. */
export function parseToken(text: string): TokenParts | undefined {
  const match = TOKEN.exec(text);
  if (!match) return undefined;
  const [, letter, id = "", secret = "", crc] = match;
  if (checksum(text.slice(0, -CRC_CHARS)) !== crc) return undefined;
  const kind = (Object.keys(LETTERS) as TokenKind[]).find((it) => LETTERS[it] === letter);
  return kind && { kind, id, secret };
}

/** A new token of this kind. `randomBytes` must come from a cryptographic source. */
export function makeToken(
  kind: TokenKind,
  randomBytes: (count: number) => Uint8Array,
): TokenParts & { readonly text: string } {
  const parts = {
    kind,
    id: randomBase62(ID_CHARS, randomBytes),
    secret: randomBase62(SECRET_CHARS, randomBytes),
  };
  return { ...parts, text: formatToken(parts) };
}

/** Rejection sampling: each character is equally likely. */
function randomBase62(count: number, randomBytes: (count: number) => Uint8Array): string {
  let text = "";
  while (text.length < count) {
    for (const byte of randomBytes(count)) {
      if (byte < 248 && text.length < count) text += BASE62[byte % 62];
    }
  }
  return text;
}

function checksum(text: string): string {
  let rest = crc32(text);
  let out = "";
  for (let at = 0; at < CRC_CHARS; at++) {
    out = BASE62[rest % 62] + out;
    rest = Math.floor(rest / 62);
  }
  return out;
}

/** CRC-32 (IEEE) of an ASCII text, bit by bit: tokens are short. */
function crc32(text: string): number {
  let crc = 0xffffffff;
  for (let at = 0; at < text.length; at++) {
    crc ^= text.charCodeAt(at);
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}
