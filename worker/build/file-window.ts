import type { FileHandle } from "node:fs/promises";

/**
 * Reads small pieces of a big file through one window, so that pieces that lie side by side cost
 * one system call together and never more memory than the window.
 */
export class FileWindow {
  readonly size: number;
  readonly #file: FileHandle;
  readonly #buffer = Buffer.allocUnsafe(1024 * 1024);
  #start = 0;
  #filled = 0;

  constructor(file: FileHandle, size: number) {
    this.#file = file;
    this.size = size;
  }

  /** At most this many bytes can be asked for at once. */
  get limit(): number {
    return this.#buffer.length;
  }

  /**
   * `length` bytes from `at` on, fewer only where the file ends. A view that is good until the next
   * call, so nobody may call again before having used it.
   */
  async bytes(at: number, length: number): Promise<Buffer> {
    const end = Math.min(at + length, this.size);
    if (at < this.#start || end > this.#start + this.#filled) await this.#move(at);
    const from = at - this.#start;
    return this.#buffer.subarray(from, Math.max(from, Math.min(end - this.#start, this.#filled)));
  }

  async #move(at: number): Promise<void> {
    this.#start = at;
    this.#filled = 0;
    while (this.#filled < this.#buffer.length) {
      const room = this.#buffer.length - this.#filled;
      const { bytesRead } = await this.#file.read(
        this.#buffer,
        this.#filled,
        room,
        at + this.#filled,
      );
      if (bytesRead === 0) return;
      this.#filled += bytesRead;
    }
  }
}
