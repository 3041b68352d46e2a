import { canonicalJson } from "../../contract/pod/pod.ts";
import type { Log } from "../../kit/log.ts";
import { startLoop } from "../../kit/loop.ts";
import { type HttpAnswer, httpCall } from "../api/http-call.ts";
import { caddyConfig, type IngressPlan, upstreamsIn } from "./routes.ts";

export type IngressWish = Omit<IngressPlan, "adminSocket" | "ingressSocket">;

export type Ingress = {
  /** Asks for these routes; the keeper brings Caddy there, and back there after Caddy's restart. */
  want(wish: IngressWish): void;
  /** Where Caddy sends requests, as far as is known; undefined while Caddy has never answered. */
  upstreams(): ReadonlySet<string> | undefined;
  /** Whether Caddy may send requests to `ip`: yes, while it has never answered. */
  reaches(ip: string): boolean;
  /**
   * Resolves when Caddy sends nothing to `ip` any more, or after `withinMs` whatever it does: with the
   * `ip:port` that it sent requests to, some of which may be under way.
   */
  withdrawn(ip: string, withinMs: number): Promise<readonly string[]>;
  readonly done: Promise<void>;
};

const CHECK_MS = 5_000;
const ADMIN_MS = 3_000;
/** Caddy takes seconds for a thousand doors on a busy host, and half a load would be begun again and again. */
const LOAD_MS = 30_000;
const MAX_CONFIG_BYTES = 16 * 1024 * 1024;

/** Keeps Caddy's configuration what it should be, through its admin socket. */
export function openIngress(options: {
  readonly adminSocket: string;
  readonly ingressSocket: string;
  readonly signal: AbortSignal;
  readonly log: Log;
  readonly onChange: () => void;
}): Ingress {
  const { adminSocket, ingressSocket, signal, log, onChange } = options;
  let plan: IngressWish = { routes: [], peers: [] };
  let wanted:
    | { readonly config: object; readonly text: string; readonly whole: string }
    | undefined;
  let applied: { readonly upstreams: ReadonlySet<string>; readonly text: string } | undefined;
  let waiting: (() => void)[] = [];
  let silent = false;

  function nowIs(text: string, config: unknown): void {
    const before = applied?.text;
    applied = { upstreams: upstreamsIn(config), text };
    for (const wake of waiting.splice(0)) wake();
    if (before !== text) onChange();
  }

  /** A wish that changed is loaded at once; else Caddy is looked at, since it may have restarted. */
  async function pass(): Promise<void> {
    const goal = wanted;
    const changed = goal !== undefined && applied !== undefined && applied.text !== goal.text;
    if (silent || !changed) await look(goal);
    if (goal !== undefined && applied?.text !== goal.text) {
      await load(goal);
    }
    if (silent) log.info("Caddy answers again");
    silent = false;
  }

  /** A door whose port another program has is left out, and tried again when the routes change. */
  async function load(goal: NonNullable<typeof wanted>): Promise<void> {
    const answer = await admin("POST", "/load", goal.text);
    const taken = takenPort(answer);
    if (taken === undefined || !goal.text.includes(`"door-${taken}"`)) {
      expectOk(answer, "load");
      return nowIs(goal.text, goal.config);
    }
    log.warn("other nodes cannot reach a pod: another program has its port", { port: taken });
    if (wanted !== goal) return;
    plan = withoutDoor(plan, taken);
    wanted = { ...configOf(plan), whole: goal.whole };
    loop.wake();
  }

  function configOf(wish: IngressWish) {
    const config = caddyConfig({ adminSocket, ingressSocket, ...wish });
    return { config, text: JSON.stringify(config) };
  }

  async function look(goal: typeof wanted): Promise<void> {
    const answer = expectOk(await admin("GET", "/config/"), "show its configuration");
    const config: unknown = JSON.parse(answer.text);
    if (goal !== undefined && canonicalJson(config) === canonicalJson(goal.config))
      nowIs(goal.text, config);
    else nowIs(answer.text, config);
  }

  function admin(method: string, path: string, body?: string): Promise<HttpAnswer> {
    return httpCall({
      to: { socket: adminSocket, path },
      method,
      headers: { "content-type": "application/json" },
      ...(body !== undefined && { body }),
      timeoutMs: body === undefined ? ADMIN_MS : LOAD_MS,
      maxBytes: MAX_CONFIG_BYTES,
    });
  }

  const loop = startLoop({
    everyMs: CHECK_MS,
    signal,
    pass,
    onError: (error) => {
      if (!silent) log.error("Caddy cannot be configured", error);
      silent = true;
      for (const wake of waiting.splice(0)) wake();
    },
  });

  return {
    want(wish) {
      const goal = configOf(wish);
      if (goal.text === wanted?.whole) return;
      plan = wish;
      wanted = { ...goal, whole: goal.text };
      loop.wake();
    },
    upstreams: () => applied?.upstreams,
    reaches: (ip) => applied === undefined || reaches(applied.upstreams, ip),
    async withdrawn(ip, withinMs) {
      const endMs = performance.now() + withinMs;
      const sentTo = [...(applied?.upstreams ?? [])].filter((it) => it.startsWith(`${ip}:`));
      while (!signal.aborted && reaches(applied?.upstreams, ip) && performance.now() < endMs) {
        const turn = Promise.withResolvers<void>();
        waiting = [...waiting, turn.resolve];
        const timer = setTimeout(turn.resolve, endMs - performance.now());
        await turn.promise;
        clearTimeout(timer);
        if (silent) break;
      }
      return sentTo;
    },
    done: loop.done,
  };
}

function expectOk(answer: HttpAnswer, what: string): HttpAnswer {
  if (answer.status === 200) return answer;
  throw new Error(
    `Caddy did not ${what}: it answered ${answer.status} ${answer.text.slice(0, 500)}`,
  );
}

function reaches(upstreams: ReadonlySet<string> | undefined, ip: string): boolean {
  return [...(upstreams ?? [])].some((it) => it.startsWith(`${ip}:`));
}

function takenPort(answer: HttpAnswer): number | undefined {
  const port = /listen tcp[^"]*?:(\d+): bind: address already in use/.exec(answer.text)?.[1];
  return answer.status === 200 || port === undefined ? undefined : Number(port);
}

function withoutDoor(wish: IngressWish, port: number): IngressWish {
  const doorsOf = (route: IngressWish["routes"][number]) =>
    route.doors.filter((door) => door.port !== port);
  return { ...wish, routes: wish.routes.map((it) => ({ ...it, doors: doorsOf(it) })) };
}
