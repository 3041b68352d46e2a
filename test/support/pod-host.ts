import { join } from "node:path";
import { PAUSE_IMAGE } from "../../contract/node/protocol.ts";
import type { Pod } from "../../contract/pod/pod.ts";
import { type Executors, executors, type Hands } from "../../node-agent/act/act.ts";
import { openImageStore, writeRegistryHosts } from "../../node-agent/act/images.ts";
import { type Places, placesIn } from "../../node-agent/disk/places.ts";
import { openObserver, type SeenContainer, type SeenSandbox } from "../../node-agent/observe.ts";
import { fingerprint } from "../../node-agent/plan/fingerprint.ts";
import { rolesOf } from "../../node-agent/plan/kinds.ts";
import { openCri } from "../../node-agent/runtime/cri.ts";
import type { Runtime } from "../../node-agent/runtime/runtime.ts";
import type { RuntimeHandler } from "../../standalone/parts/handlers.ts";
import { startContainerd } from "./containerd.ts";
import { someHands } from "./hands.ts";
import { startNodeApi } from "./node-api.ts";
import { startRegistry } from "./registry.ts";
import { pushBusybox, pushPause } from "./test-image.ts";

/** A real containerd with the agent's hands on it, and no agent: each step is the test's to ask for. */
export type PodHost = AsyncDisposable & {
  readonly runtime: Runtime;
  /** Where `runtime` is. */
  readonly endpoint: string;
  readonly places: Places;
  readonly registryUrl: string;
  /** Busybox, as pods name it. */
  readonly image: string;
  /** A folder for what stands for the host's own files. */
  readonly dir: string;
  readonly table: Executors;
  hands(said: Partial<Hands>): Executors;
  /** Starts every container that is no plain init container, in their order, in a new sandbox. */
  start(pod: Pod, table?: Executors): Promise<SeenSandbox>;
  seen(pod: Pod): Promise<SeenSandbox>;
  container(pod: Pod, name: string): Promise<SeenContainer>;
  /** What a command in one of its containers says; throws where it fails. */
  run(pod: Pod, name: string, command: string): Promise<string>;
  remove(pod: Pod, table?: Executors): Promise<void>;
};

export async function startPodHost(handlers: readonly RuntimeHandler[] = []): Promise<PodHost> {
  const stack = new AsyncDisposableStack();
  try {
    const registry = stack.use(await startRegistry());
    const [busybox] = await Promise.all([
      pushBusybox(registry.url, "apps/web"),
      pushPause(registry.url),
    ]);
    const api = stack.use(await startNodeApi(registry.url));
    const containerd = stack.use(await startContainerd({ handlers }));
    await writeRegistryHosts(containerd.hostsDir, api.url);
    const runtime = openCri(containerd.endpoint, containerd.installation);
    stack.defer(() => runtime.close());
    const places = placesIn(join(containerd.dir, "agent"), containerd.cgroupParent);
    const token = await joined(api.url, api.joinToken);
    const images = openImageStore(
      runtime,
      () => token,
      async () => 0,
    );
    await images.ensure(PAUSE_IMAGE);
    const hands = (said: Partial<Hands>) =>
      executors(someHands({ runtime, places, images, ...said }));
    const { endpoint } = containerd;
    const about = { runtime, endpoint, places, hands, table: hands({}), registryUrl: registry.url };
    const image = `waybill.internal/apps/web@${busybox.digest}`;
    const owned = stack.move();
    return {
      ...about,
      image,
      dir: join(containerd.dir, "host"),
      ...verbs(about),
      [Symbol.asyncDispose]: () => owned.disposeAsync(),
    };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

function verbs({ runtime, table }: { readonly runtime: Runtime; readonly table: Executors }) {
  const observe = openObserver(runtime, (_id, error) => {
    throw error;
  });
  const never = new AbortController().signal;

  async function seen(pod: Pod): Promise<SeenSandbox> {
    const found = (await observe()).find((it) => it.pod === pod.metadata.uid);
    if (!found) throw new Error(`the pod ${pod.metadata.name} has no sandbox`);
    return found;
  }

  async function container(pod: Pod, name: string): Promise<SeenContainer> {
    const found = (await seen(pod)).containers.find((it) => it.name === name);
    if (!found) throw new Error(`the pod ${pod.metadata.name} has no container ${name}`);
    return found;
  }

  return {
    seen,
    container,
    async start(pod: Pod, by = table) {
      const counts = { existing: undefined, attempt: 0, restarts: 0, crashes: 0 };
      const starts = rolesOf(pod.spec)
        .filter((it) => it.kind !== "init")
        .map((it) => ({ ...it, ...counts }));
      const about = { uid: pod.metadata.uid, pod, fingerprint: fingerprint(pod) };
      const fresh = { sandbox: undefined, attempt: 0, deaths: 0, dead: [] };
      await by["start-pod"]({ do: "start-pod", ...about, ...fresh, starts }, never);
      return seen(pod);
    },
    async run(pod: Pod, name: string, command: string) {
      const { id } = await container(pod, name);
      const limits = { timeoutSeconds: 10 };
      const { exitCode, stdout, stderr } = await runtime.execSync(
        id,
        ["sh", "-c", command],
        limits,
      );
      const text = (bytes: Uint8Array) => Buffer.from(bytes).toString("utf8");
      if (exitCode !== 0) throw new Error(`"${command}" ended with ${exitCode}: ${text(stderr)}`);
      return text(stdout);
    },
    async remove(pod: Pod, by = table) {
      const { uid } = pod.metadata;
      const sandboxes = (await observe()).filter((it) => it.pod === uid);
      const step = { do: "remove-sandboxes", uid, sandboxes, whole: true } as const;
      await by["remove-sandboxes"]({ ...step, because: "unwanted" }, never);
    },
  };
}

async function joined(apiUrl: string, joinToken: string): Promise<string> {
  const answer = await fetch(`${apiUrl}/v1/node/join`, {
    method: "POST",
    headers: { authorization: `Bearer ${joinToken}` },
    body: JSON.stringify({ version: "test", publicKey: Buffer.alloc(32).toString("base64") }),
  });
  return ((await answer.json()) as { token: string }).token;
}
