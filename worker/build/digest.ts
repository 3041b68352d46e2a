import { createHash } from "node:crypto";
import { Digest } from "../../contract/ids.ts";

export function digestOf(bytes: Uint8Array): Digest {
  return Digest.parse(`sha256:${createHash("sha256").update(bytes).digest("hex")}`);
}
