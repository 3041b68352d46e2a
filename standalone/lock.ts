import { createHash } from "node:crypto";
import { createServer } from "node:net";

export type Lock = { release(): Promise<void> };

/**
 * Makes this process the only one that starts or stops parts of a data folder; undefined when
 * another one is. The lock is a name in the kernel (an abstract socket), so it ends with its
 * process, however that ends.
 */
export function takeLock(dataDir: string): Promise<Lock | undefined> {
  const name = createHash("sha256").update(dataDir).digest("hex").slice(0, 32);
  const server = createServer((socket) => socket.destroy());
  server.unref();
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EADDRINUSE") resolve(undefined);
      else reject(new Error("taking the installation's lock", { cause: error }));
    });
    server.listen(`\0waybill-${name}`, () =>
      resolve({ release: () => new Promise((closed) => server.close(() => closed())) }),
    );
  });
}
