import type { FileHandle } from "node:fs/promises";

/**
 * Reads small pieces of a big file through one window, so that pieces that lie side by side cost
 * one system call together and never more memory than the window. A file that fits is read once,
 * whatever the order of the pieces.
 */
export class FileWindow {
  readonly size: number;
  readonly #file: FileHandle;
  readonly #buffer: Buffer;
  #start = 0;
  #filled = 0;

  constructor(file: FileHandle, size: number) {
    this.#file = file;
    this.size = size;
    this.#buffer = Buffer.allocUnsafe(size <= WHOLE_BYTES ? size : WINDOW_BYTES);
  }

  /**
   * `length` bytes from `at` on, at most `PIECE_BYTES`, fewer only where the file ends. A view that
   * is good until the next call, so nobody may call again before having used it.
   */
  async bytes(at: number, length: number): Promise<Buffer> {
    const there = this.peek(at, length);
    if (there !== undefined) return there;
    await this.#move(at, length);
    const end = Math.min(at + length - this.#start, this.#filled);
    return this.#buffer.subarray(at - this.#start, Math.max(at - this.#start, end));
  }

  /** The same, where all of it is in the window already. */
  peek(at: number, length: number): Buffer | undefined {
    const from = at - this.#start;
    if (from < 0 || from + length > this.#filled) return undefined;
    return this.#buffer.subarray(from, from + length);
  }

  /** Reads far ahead only where reading goes on: jumping about must not read the file many times over. */
  async #move(at: number, length: number): Promise<void> {
    const whole = this.size <= this.#buffer.length;
    const goesOn = at >= this.#start && at <= this.#start + this.#filled;
    const ahead = whole || goesOn ? this.#buffer.length : AHEAD_BYTES;
    const wanted = Math.min(this.#buffer.length, Math.max(length, ahead));
    this.#start = whole ? 0 : at;
    this.#filled = 0;
    while (this.#filled < wanted) {
      const { bytesRead } = await this.#file.read(
        this.#buffer,
        this.#filled,
        wanted - this.#filled,
        this.#start + this.#filled,
      );
      if (bytesRead === 0) return;
      this.#filled += bytesRead;
    }
  }
}

export const PIECE_BYTES = 1024 * 1024;
const WINDOW_BYTES = PIECE_BYTES;
const WHOLE_BYTES = 24 * 1024 * 1024;
const AHEAD_BYTES = 32 * 1024;
