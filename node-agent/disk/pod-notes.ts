import { join } from "node:path";
import type { PodId } from "../../contract/ids.ts";
import { readIfThere, writeDurably } from "./durable-file.ts";
import type { Places } from "./places.ts";

/**
 * `post-started/<container>` names the start whose postStart hook has returned, and `given-up` the
 * dead sandbox that gives way to another one: what ends in it from then on is ended by the agent.
 */
export type PodNote = `post-started/${string}` | "given-up";

/**
 * What the agent did to a pod and must know again after its own restart: a runtime takes no notes of
 * what is made already. A note is a small file in the pod's folder, and goes with it. It holds the id
 * of what it is about, so that a later one takes its place.
 */
export type PodNotes = {
  has(pod: PodId, note: PodNote, id: string): Promise<boolean>;
  /** Resolves once it would survive a power cut. */
  write(pod: PodId, note: PodNote, id: string): Promise<void>;
};

export function openPodNotes({ podDir }: Pick<Places, "podDir">): PodNotes {
  const file = (pod: PodId, note: PodNote) => join(podDir(pod), "notes", note);
  return {
    has: async (pod, note, id) => (await readIfThere(file(pod, note))) === id,
    write: (pod, note, id) => writeDurably(file(pod, note), id),
  };
}
