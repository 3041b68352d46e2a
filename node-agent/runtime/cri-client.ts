import { fileURLToPath } from "node:url";
import { Client, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { RuntimeError } from "./runtime.ts";

/** A command's answer may hold 16 MiB of each of its two streams. */
const MAX_MESSAGE_BYTES = 34 * 1024 * 1024;

/** Where containerd keeps what CRI makes; its other services ask for it, and CRI takes no notice. */
const NAMESPACE = new Metadata();
NAMESPACE.set("containerd-namespace", "k8s.io");

/** One method: the request and answer that its .proto gives it. */
export type CriCall = <Answer>(
  method: string,
  request: object,
  timeoutMs: number,
) => Promise<Answer>;

export type CriClient = {
  readonly call: CriCall;
  /** Takes no more calls, and resolves when those under way were answered. */
  close(): Promise<void>;
};

/** Speaks to the runtime's socket; methods are named as in the .proto files. Connects with the first call. */
export function openCriClient(endpoint: string): CriClient {
  const methods = loadMethods();
  const client = new Client(endpoint, credentials.createInsecure(), {
    "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
    "grpc.default_authority": "localhost",
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 1_000,
  });
  let isClosed = false;
  const underWay = new Set<Promise<unknown>>();
  const ask = <Answer>(method: string, request: object, timeoutMs: number) =>
    new Promise<Answer>((resolve, reject) => {
      const found = methods.get(method);
      if (isClosed) throw new RuntimeError(method, "CANCELLED", new Error("it was closed"));
      if (!found) throw new Error(`no .proto has a method ${method}`);
      const deadline = Date.now() + timeoutMs;
      client.makeUnaryRequest(
        found.path,
        found.requestSerialize,
        found.responseDeserialize,
        request,
        NAMESPACE.clone(),
        { deadline },
        (error: ServiceError | null, answer?: object) => {
          if (error) reject(new RuntimeError(method, status[error.code] ?? "UNKNOWN", error));
          else resolve(answer as Answer);
        },
      );
    });
  return {
    call<Answer>(method: string, request: object, timeoutMs: number) {
      const answer = ask<Answer>(method, request, timeoutMs);
      const settled: Promise<unknown> = Promise.allSettled([answer]).then(() =>
        underWay.delete(settled),
      );
      underWay.add(settled);
      return answer;
    },
    async close() {
      isClosed = true;
      await Promise.all(underWay);
      client.close();
    },
  };
}

type Method = {
  readonly path: string;
  readonly requestSerialize: (value: object) => Buffer;
  readonly responseDeserialize: (value: Buffer) => object;
};

const SERVICES = [
  ["cri.proto", "runtime.v1.RuntimeService"],
  ["cri.proto", "runtime.v1.ImageService"],
  ["containerd-tasks.proto", "containerd.services.tasks.v1.Tasks"],
] as const;

function loadMethods(): ReadonlyMap<string, Method> {
  const methods = new Map<string, Method>();
  for (const [file, service] of SERVICES) {
    const definition = loadSync(fileURLToPath(new URL(file, import.meta.url)), {
      keepCase: true,
      longs: Number,
      enums: String,
      defaults: true,
    });
    for (const [method, found] of Object.entries(definition[service] ?? {})) {
      methods.set(method, found as Method);
    }
  }
  return methods;
}
