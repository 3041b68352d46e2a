import { z } from "zod";
import type { DesiredState } from "../../contract/node/protocol.ts";
import type { Pod } from "../../contract/pod/pod.ts";
import { openSealed } from "../../kit/sealed-box.ts";
import { StartError } from "../act/start-error.ts";
import { namedBy } from "../plan/named-by.ts";
import { readJson } from "./read-json.ts";

/** Base64 by key. */
const SecretValues = z.record(z.string(), z.string());

/** Bytes by key. */
export type Values = ReadonlyMap<string, Uint8Array>;

/** What a pod names of config maps and secrets, by versioned name; what is not here is left out. */
export type PodValues = {
  readonly configMaps: ReadonlyMap<string, Values>;
  readonly secrets: ReadonlyMap<string, Values>;
};

export type KeyPair = Parameters<typeof openSealed>[0];

/** Opens, for one pod, what it names. A secret's values are in memory only while they are handed over. */
export type Materials = (pod: Pod) => Promise<PodValues>;

export function openMaterials(
  wish: () => Pick<DesiredState, "configMaps" | "secrets"> | undefined,
  keyPair: () => KeyPair | Promise<KeyPair>,
): Materials {
  return async (pod) => {
    const { configMaps = [], secrets = [] } = wish() ?? {};
    const opened = namedBy(pod, "Secret", secrets).map(
      async (it) => [it.name, await opening(it, keyPair)] as const,
    );
    return {
      configMaps: new Map(
        namedBy(pod, "ConfigMap", configMaps).map((it) => [it.name, configValues(it)] as const),
      ),
      secrets: new Map(await Promise.all(opened)),
    };
  };
}

function configValues({ data, binary }: DesiredState["configMaps"][number]): Values {
  return new Map<string, Uint8Array>([
    ...Object.entries(data).map(([key, text]) => [key, Buffer.from(text, "utf8")] as const),
    ...Object.entries(binary).map(([key, text]) => [key, Buffer.from(text, "base64")] as const),
  ]);
}

async function opening(
  { project, name, sealed }: DesiredState["secrets"][number],
  keyPair: () => KeyPair | Promise<KeyPair>,
): Promise<Values> {
  const box = Buffer.from(sealed, "base64");
  const plain = await openSealed(await keyPair(), box, `${project}/${name}`).catch((error) => {
    throw unusable(`the secret "${name}" was sealed for another key than this node's`, error);
  });
  // Without a cause and its words, which may quote what was inside.
  const { value } = readJson(SecretValues, Buffer.from(plain).toString("utf8"));
  if (!value) throw unusable(`what was sealed as the secret "${name}" is no secret`);
  return new Map(
    Object.entries(value).map(([key, text]) => [key, Buffer.from(text, "base64")] as const),
  );
}

function unusable(message: string, cause?: unknown): StartError {
  return new StartError("CreateContainerConfigError", message, cause);
}
