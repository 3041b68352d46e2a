import { randomInt } from "node:crypto";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { exec } from "../../../kit/exec.ts";
import { type Link, openLink, UPLINK } from "./link.ts";
import { endNamespace, makeNamespace, type Namespace, runWithin } from "./namespace.ts";

/** A network that hosts are plugged into, and this machine as well. */
export type Lan = AsyncDisposable & {
  /** Of this machine, where the control plane listens. */
  readonly address: string;
  /** A host's network, with one link to all the others; there once it is up. */
  plug(number: number): Uplink;
};

export type Uplink = {
  readonly namespace: Namespace;
  readonly address: string;
  readonly link: Link;
  up(): Promise<void>;
  /** Takes the host's network away with all that was set up in it: addresses, bridges, rules. Twice is fine. */
  down(): Promise<void>;
};

const IP = "/usr/sbin/ip";

/**
 * The switch stands in a network of its own, so that this machine's firewall has no say in what hosts
 * send each other, and nothing of it is left once its processes and files are gone.
 */
export async function openLan(dir: string, name: string): Promise<Lan> {
  const net = freeNet();
  const address = `${net}.1`;
  const lan = await makeNamespace(join(dir, "switch.net"));
  const onLan = (...argv: string[]) => runWithin(lan, IP, argv);
  const here = (...argv: string[]) => exec(IP, argv, { timeoutMs: 10_000 });

  await onLan("link", "add", "lan", "type", "bridge");
  await onLan("link", "set", "lan", "up");
  await here("link", "add", name, "type", "veth", "peer", "name", "machine", "netns", lan.path);
  await onLan("link", "set", "machine", "master", "lan", "up");
  await here("address", "add", `${address}/24`, "dev", name);
  await here("link", "set", name, "up");

  return {
    address,
    plug(number) {
      const port = `host${number}`;
      const host = { path: join(dir, `${port}.net`) };
      const onHost = (...argv: string[]) => runWithin(host, IP, argv);
      const own = `${net}.${10 + number}`;
      const link = openLink({ host, lan, port });
      let isUp = false;
      return {
        namespace: host,
        address: own,
        link,
        async up() {
          isUp = true;
          await makeNamespace(host.path);
          const peer = ["peer", "name", UPLINK, "netns", host.path];
          await onLan("link", "add", port, "type", "veth", ...peer);
          await onLan("link", "set", port, "master", "lan", "up");
          await onHost("link", "set", "lo", "up");
          await onHost("address", "add", `${own}/24`, "dev", UPLINK);
          await onHost("link", "set", UPLINK, "up");
          await onHost("route", "add", "default", "via", address);
          await link.renew();
        },
        async down() {
          if (!isUp) return;
          isUp = false;
          await onLan("link", "delete", port);
          await endNamespace(host);
        },
      };
    },
    async [Symbol.asyncDispose]() {
      await here("link", "delete", name);
      await endNamespace(lan);
    },
  };
}

/** The first three bytes of a network that this machine is not in. */
function freeNet(): string {
  const taken = Object.values(networkInterfaces()).flatMap((them) => them ?? []);
  for (;;) {
    const net = `172.${randomInt(16, 32)}.${randomInt(0, 256)}`;
    if (!taken.some(({ address }) => address.startsWith(`${net}.`))) return net;
  }
}
