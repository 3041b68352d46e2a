import { arch } from "node:process";

/** This machine's architecture by Go's name for it, as images are marked. Its nodes are of the same. */
export function ociArchitecture(): string {
  return arch === "x64" ? "amd64" : arch;
}
