import { z } from "zod";
import { fromBase64, toBase64 } from "../base64.ts";
import { ConfigKey, ObjectName } from "../ids.ts";
import { Labels } from "../pod/pod.ts";
import { MAX_MATERIAL_BYTES } from "./material.ts";

/*
 * Kubernetes' `kind: ConfigMap` and `kind: Secret` as people write them, a strict subset. What comes
 * out is their content alone: bytes in canonical base64, texts as they are, keys in order. Labels
 * are for whoever keeps the document: nothing here selects by them.
 */

/** The name leaves room for a version behind it: "<name>.v<version>" is a name as well. */
const MAX_NAME = 240;

const Metadata = z.strictObject({
  name: ObjectName.max(MAX_NAME),
  namespace: z.literal("default", "there are no namespaces here; leave it out").optional(),
  labels: Labels.optional(),
});

/** False is how it is: true would promise that the name never has another content. */
const Immutable = z
  .literal(false, "not taken: a release keeps the version that it was made with; leave it out")
  .optional();

/** Kubernetes' well-known types; they promise keys to programs that Waybill does not have. */
const SecretType = z.enum(
  [
    "Opaque",
    "kubernetes.io/tls",
    "kubernetes.io/basic-auth",
    "kubernetes.io/ssh-auth",
    "kubernetes.io/dockerconfigjson",
    "kubernetes.io/dockercfg",
    "kubernetes.io/service-account-token",
    "bootstrap.kubernetes.io/token",
  ],
  'must be "Opaque" or another of Kubernetes\' own types',
);

/** YAML breaks long lines, so line ends are no part of it; equal bytes give equal texts. */
const Base64 = z
  .string()
  .transform((text) => text.replace(/[\r\n]/g, ""))
  .pipe(z.base64("must be base64"))
  .transform((text) => toBase64(fromBase64(text)));
const Texts = z.record(ConfigKey, z.string()).default({});
const Binaries = z.record(ConfigKey, Base64).default({});

export const ConfigMapDocument = z
  .strictObject({
    apiVersion: z.literal("v1"),
    kind: z.literal("ConfigMap"),
    metadata: Metadata,
    data: Texts,
    binaryData: Binaries,
    immutable: Immutable,
  })
  .superRefine(({ data, binaryData }, context) => {
    for (const key of Object.keys(binaryData).filter((it) => Object.hasOwn(data, it))) {
      const message = "stands under data as well";
      context.addIssue({ code: "custom", path: ["binaryData", key], message });
    }
    const size = textBytes(data) + base64Bytes(binaryData);
    if (size > MAX_MATERIAL_BYTES) context.addIssue({ code: "custom", ...tooLarge(size) });
  })
  .transform(({ metadata, data, binaryData }) => ({
    kind: "ConfigMap" as const,
    name: metadata.name,
    data: sorted(data),
    binary: sorted(binaryData),
  }));
export type ConfigMapContent = z.infer<typeof ConfigMapDocument>;

/** As in Kubernetes, a key of `stringData` wins over the same one of `data`. */
export const SecretDocument = z
  .strictObject({
    apiVersion: z.literal("v1"),
    kind: z.literal("Secret"),
    metadata: Metadata,
    type: SecretType.optional(),
    data: Binaries,
    stringData: Texts,
    immutable: Immutable,
  })
  .superRefine(({ data, stringData }, context) => {
    const size = base64Bytes(data) + textBytes(stringData);
    if (size > MAX_MATERIAL_BYTES) context.addIssue({ code: "custom", ...tooLarge(size) });
  })
  .transform(({ metadata, data, stringData }) => {
    const texts = Object.entries(stringData).map(
      ([key, text]) => [key, toBase64(new TextEncoder().encode(text))] as const,
    );
    return {
      kind: "Secret" as const,
      name: metadata.name,
      values: sorted({ ...data, ...Object.fromEntries(texts) }),
    };
  });
/** `values` are base64. */
export type SecretContent = z.infer<typeof SecretDocument>;

/** What reads this document, if it is one of these two. */
export function materialSchema(document: unknown) {
  const kind = (document as { kind?: unknown } | null | undefined)?.kind;
  if (kind === "ConfigMap") return ConfigMapDocument;
  return kind === "Secret" ? SecretDocument : undefined;
}

function tooLarge(size: number) {
  const message = `is ${size} bytes with its keys; at most ${MAX_MATERIAL_BYTES} are taken`;
  return { path: ["data"], message };
}

function textBytes(texts: Readonly<Record<string, string>>): number {
  const encoder = new TextEncoder();
  return Object.entries(texts).reduce(
    (sum, [key, text]) => sum + key.length + encoder.encode(text).length,
    0,
  );
}

function base64Bytes(values: Readonly<Record<string, string>>): number {
  return Object.entries(values).reduce((sum, [key, text]) => {
    const padding = /=*$/.exec(text)?.[0].length ?? 0;
    return sum + key.length + (text.length / 4) * 3 - padding;
  }, 0);
}

function sorted(record: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)));
}
