import { createHash } from "node:crypto";
import { fingerprintText, type Pod } from "../../contract/pod/pod.ts";

/** 32 hex digits: fits into a label's value, and is the same for the same spec on every machine. */
export function fingerprint(pod: Pod): string {
  return createHash("sha256").update(fingerprintText(pod)).digest("hex").slice(0, 32);
}
