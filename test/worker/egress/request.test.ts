import { once } from "node:events";
import { createServer, type IncomingMessage, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { parseAllowed } from "../../../worker/egress/policy.ts";
import { EgressRefused, type EgressRequest, openEgress } from "../../../worker/egress/request.ts";

type Server = AsyncDisposable & { readonly url: string; readonly seen: IncomingMessage[] };

async function serve(listener: RequestListener): Promise<Server> {
  const seen: IncomingMessage[] = [];
  const server = createServer((request, answer) => {
    seen.push(request);
    listener(request, answer);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

const egress = openEgress(parseAllowed("") ?? expect.fail());
const asking = (options: Partial<EgressRequest> = {}): EgressRequest => ({
  ...{ method: "GET", reach: "this-machine", signal: AbortSignal.timeout(5_000) },
  ...options,
});

async function textOf(url: string, options: Partial<EgressRequest> = {}): Promise<string> {
  const { body } = await egress(new URL(url), asking(options));
  return (await body.setEncoding("utf8").toArray()).join("");
}

test("this machine is asked only where that was meant", async () => {
  await using server = await serve((_, answer) => answer.end("hello"));

  expect(await textOf(server.url)).toBe("hello");
  expect(await textOf(server.url.replace("127.0.0.1", "localhost"))).toBe("hello");
  for (const url of [server.url, server.url.replace("http:", "https:")]) {
    await expect(textOf(url, { reach: "outside" })).rejects.toThrow(EgressRefused);
  }
  expect(server.seen).toHaveLength(2);
});

test("redirects are followed three times and no more", async () => {
  await using server = await serve((request, answer) => {
    const left = Number(request.url?.slice(1));
    if (left === 0) answer.end("there");
    else answer.writeHead(307, { location: `/${left - 1}` }).end();
  });

  expect(await textOf(`${server.url}/3`)).toBe("there");
  await expect(textOf(`${server.url}/4`)).rejects.toThrow("again and again");
});

test("a token does not go along to another origin", async () => {
  await using other = await serve((_, answer) => answer.end("there"));
  await using server = await serve((request, answer) => {
    const location = request.url === "/" ? "/next" : `${other.url}/blob`;
    answer.writeHead(302, { location }).end();
  });

  await textOf(server.url, { headers: { authorization: "Bearer x", accept: "a/b" } });

  const seen = [...server.seen, ...other.seen].map(({ headers }) => headers);
  expect(seen.map(({ authorization }) => authorization)).toEqual([
    "Bearer x",
    "Bearer x",
    undefined,
  ]);
  expect(seen.at(-1)?.accept).toBe("a/b");
});

test.each([
  "http://registry.example.com/",
  "http://169.254.169.254/latest/meta-data/",
  "https://169.254.169.254/",
  "https://10.0.0.1/",
  "https://[::ffff:10.0.0.1]/",
  "ftp://127.0.0.1/",
  "http://127.0.0.1:25/",
  "http://user:word@127.0.0.1:8080/",
  "http://[",
])("a redirect to %s is not followed", async (location) => {
  await using server = await serve((_, answer) => answer.writeHead(301, { location }).end());

  await expect(textOf(server.url)).rejects.toThrow(EgressRefused);
  expect(server.seen).toHaveLength(1);
});

test("an operator's list opens a private network, and never the address where clouds keep credentials", async () => {
  const open = openEgress(parseAllowed("10.0.0.0/8,169.254.0.0/16") ?? expect.fail());
  const signal = AbortSignal.timeout(300);
  const ask = (url: string) => open(new URL(url), asking({ reach: "outside", signal }));

  await expect(ask("https://169.254.169.254/")).rejects.toThrow(EgressRefused);
  // Nobody answers there, which is another failure than a refusal.
  const failure = await ask("https://10.255.255.1/").catch((error: unknown) => error);
  expect(failure).not.toBeInstanceOf(EgressRefused);
});

test("a name is refused that has no address, or one among others that is not fit", async () => {
  const addresses: Readonly<Record<string, readonly string[]>> = {
    "typo.example": [],
    "both.example": ["192.0.43.8", "10.0.0.1"],
  };
  const asking = openEgress(
    parseAllowed("") ?? expect.fail(),
    async (host) => addresses[host] ?? expect.fail(host),
  );
  const ask = (url: string) =>
    asking(new URL(url), { method: "GET", reach: "outside", signal: AbortSignal.timeout(5_000) });

  await expect(ask("https://typo.example/")).rejects.toThrow(
    new EgressRefused("its name has no address"),
  );
  await expect(ask("https://both.example/")).rejects.toThrow("10.0.0.1 is not public");
});

test("nobody waits for a resolver that hangs once the request is aborted", async () => {
  const policy = parseAllowed("") ?? expect.fail();
  const stop = new AbortController();
  const hanging = openEgress(policy, () => {
    stop.abort(new Error("the worker stops"));
    return new Promise(() => undefined);
  });

  const asked = hanging(new URL("https://registry.example.com/"), {
    ...{ method: "GET", reach: "outside", signal: stop.signal },
  });

  await expect(asked).rejects.toThrow("the worker stops");
});
