import type { TestApi } from "./api.ts";
import { aDigest } from "./declared.ts";

export const aSecret = (name: string, stringData: Record<string, string>, more: object = {}) => ({
  apiVersion: "v1",
  kind: "Secret",
  metadata: { name },
  stringData,
  ...more,
});

export const aConfigMap = (name: string, data: Record<string, string>) => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name },
  data,
});

/** A Pod of one container; what it is about, it says. */
export const aPodDocument = (name: string, container: object = {}, spec: object = {}) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name },
  spec: {
    containers: [{ name: "app", image: `base/tool@${aDigest("c")}`, ...container }],
    ...spec,
  },
});

/** An environment variable from a key of a secret. */
export const fromSecret = (name: string, key: string, more: object = {}) => ({
  env: [{ name: "VALUE", valueFrom: { secretKeyRef: { name, key, ...more } } }],
});

export const claiming = (claimName: string) => ({
  volumes: [{ name: "data", persistentVolumeClaim: { claimName } }],
});

/** One POST /v1/apply of these documents. */
export const apply = (
  api: Pick<TestApi, "ask">,
  documents: readonly object[],
  options: { query?: string; token?: string; headers?: Record<string, string> } = {},
) =>
  api.ask(`/v1/apply${options.query ?? ""}`, {
    method: "POST",
    json: documents,
    ...(options.token !== undefined && { token: options.token }),
    ...(options.headers && { headers: options.headers }),
  });
