export type Answer = { readonly status: number; readonly body: Record<string, unknown> };

export type CallApi = (
  method: string,
  path: string,
  init?: {
    readonly body?: string | Uint8Array<ArrayBuffer>;
    readonly headers?: Readonly<Record<string, string>>;
  },
) => Promise<Answer>;

/** Asks the api at `url` as whoever has `token`; a body that is not JSON is the answer's `text`. */
export function callApi(url: string, token: () => string): CallApi {
  return async (method, path, init = {}) => {
    const headers = { authorization: `Bearer ${token()}`, ...init.headers };
    const answer = await fetch(`${url}${path}`, { method, ...init, headers });
    const text = await answer.text();
    return {
      status: answer.status,
      body: answer.headers.get("content-type")?.includes("json") ? JSON.parse(text) : { text },
    };
  };
}
