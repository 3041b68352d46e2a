/** What the agent writes on sandboxes and containers, to know them again after its own restart. */
export const LABELS = {
  pod: "waybill.dev/pod",
  fingerprint: "waybill.dev/fingerprint",
  installation: "waybill.dev/installation",
} as const;

/** Facts that a pod's removal or restart needs when its wish is gone already. */
export const ANNOTATIONS = {
  graceSeconds: "waybill.dev/grace-seconds",
  /** Crashes in a row before this container was made. */
  crashes: "waybill.dev/crashes",
  /** Starts of this container name in the pod, before this one. */
  restarts: "waybill.dev/restarts",
  /** On a sandbox: the whole Pod as JSON, left out where it is longer than MAX_POD_SPEC_CHARS. */
  podSpec: "waybill.dev/pod-spec",
  /** On a sandbox: how many of the pod's sandboxes died in a row before this one. */
  deaths: "waybill.dev/deaths",
  /** On a container: init, sidecar or main. */
  kind: "waybill.dev/kind",
} as const;

/** Kubernetes allows annotations of 256 KiB together, and a list of all sandboxes must stay small. */
export const MAX_POD_SPEC_CHARS = 256 * 1024;

/** Whole numbers only; anything else, as from a hand-made container, counts as `otherwise`. */
export function numberIn(
  annotations: Readonly<Record<string, string>>,
  key: string,
  otherwise: number,
): number {
  const text = annotations[key];
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : otherwise;
}
