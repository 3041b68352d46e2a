import { randomBytes, randomInt } from "node:crypto";
import { join } from "node:path";
import { type Cidr, freePodCidr } from "./cidr.ts";
import { readIfThere, writeDurably } from "./files.ts";
import { ROLE_FILES } from "./places.ts";

/** What is chosen once for a data folder and kept: names, loopback ports, passwords. */
export type Installation = {
  /** Eight hex digits in the name of every bridge, cgroup and socket folder. */
  readonly id: string;
  readonly ports: { readonly postgres: number; readonly redis: number; readonly registry: number };
  readonly passwords: { readonly postgres: string; readonly redis: string };
  readonly registrySecret: string;
  readonly podCidr: string;
};

export async function readInstallation(dataDir: string): Promise<Installation | undefined> {
  const path = join(dataDir, ROLE_FILES.installation);
  const text = await readIfThere(path);
  if (text === undefined) return undefined;
  const read = JSON.parse(text) as Partial<Installation>;
  const complete = read.id && read.ports && read.passwords && read.registrySecret && read.podCidr;
  if (!complete || !/^[0-9a-f]{8}$/.test(read.id)) {
    throw new Error(`${path} is not an installation that this version of Waybill understands`);
  }
  return read as Installation;
}

export async function writeInstallation(
  dataDir: string,
  installation: Installation,
): Promise<void> {
  await writeDurably(
    join(dataDir, ROLE_FILES.installation),
    `${JSON.stringify(installation, null, 2)}\n`,
  );
}

/** A new installation's choices; `ports` are free now, `taken` are the networks to stay clear of. */
export function newInstallation(
  ports: readonly [number, number, number],
  taken: readonly Cidr[],
): Installation {
  const [postgres, redis, registry] = ports;
  return {
    id: randomBytes(4).toString("hex"),
    ports: { postgres, redis, registry },
    passwords: { postgres: secret(), redis: secret() },
    registrySecret: secret(),
    podCidr: freePodCidr(taken, (below) => randomInt(below)),
  };
}

function secret(): string {
  return randomBytes(24).toString("hex");
}
