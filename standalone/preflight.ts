/** What a wanted TCP port looks like before anything is started. */
export type PortFact = {
  readonly port: number;
  readonly host: string;
  /** The variable that chooses another one. */
  readonly variable: string;
  /** `ours`: a part that this installation left running listens on it. */
  readonly state: "free" | "ours" | "busy" | "not-allowed" | "no-such-address";
};

/** What a data folder is of: all that `npm start` runs, or a node alone, which `npm run agent` runs. */
export type Role = "installation" | "node";

export type DataFolder =
  | "absent"
  | "empty"
  | "ours"
  | "of-another-role"
  | "foreign"
  | "not-a-folder"
  | "unusable-parent";

/** What was looked up about the machine; see facts.ts. */
export type Facts = {
  readonly role: Role;
  readonly dataDir: string;
  readonly dataFolder: DataFolder;
  /** False when another standalone, or a down, works on the same data folder. */
  readonly alone: boolean;
  /** The process id of that other one, where it is known. */
  readonly otherPid: number | undefined;
  readonly freeMemoryBytes: number;
  readonly freeDiskBytes: number;
  readonly ports: readonly PortFact[];
  readonly missingPrograms: readonly string[];
};

const MIB = 1024 ** 2;
const NEEDS = {
  first: {
    // A new installation makes its base images and the first JVM.
    installation: { memoryBytes: 1024 * MIB, diskBytes: 3 * 1024 * MIB },
    node: { memoryBytes: 512 * MIB, diskBytes: 2 * 1024 * MIB },
  },
  // A later start only brings the control plane back, perhaps beside apps that fill the machine:
  // refusing it would lock the team out just when it has to act.
  later: { memoryBytes: 256 * MIB, diskBytes: 256 * MIB },
} as const;

/** Why this user can start nothing here, whatever else there is; other users may not even look. Pure. */
export function rightsProblem(userId: number): string | undefined {
  if (userId === 0) return undefined;
  return "Waybill needs root, because it runs containers and their network: start it as root.";
}

/** Why nothing can be started here: one sentence each, all at once; none means go. Pure. */
export function problemsOf(facts: Facts): readonly string[] {
  return [
    ...folderProblems(facts),
    ...otherProblems(facts),
    ...facts.ports.flatMap(portProblem),
    ...roomProblems(facts),
    ...programProblems(facts),
  ];
}

function folderProblems({ role, dataFolder, dataDir }: Facts): readonly string[] {
  const choose = "choose another one with WAYBILL_DATA_DIR.";
  if (dataFolder === "of-another-role") {
    const [other, command] =
      role === "node" ? ["an installation", "npm start"] : ["a node", "npm run agent"];
    return [`The data folder ${dataDir} is that of ${other}, which "${command}" runs: ${choose}`];
  }
  if (dataFolder === "foreign") {
    return [`The data folder ${dataDir} holds files that are not Waybill's: ${choose}`];
  }
  if (dataFolder === "not-a-folder") return [`${dataDir} is not a folder: ${choose}`];
  if (dataFolder === "unusable-parent") {
    return [
      `The data folder ${dataDir} cannot be made, since a part of its path is a file: ${choose}`,
    ];
  }
  return [];
}

function otherProblems({ alone, dataDir, otherPid }: Facts): readonly string[] {
  if (alone) return [];
  const who = otherPid === undefined ? "Another Waybill process" : `Waybill (process ${otherPid})`;
  return [`${who} is already running for the data folder ${dataDir}.`];
}

function portProblem({ port, host, variable, state }: PortFact): readonly string[] {
  switch (state) {
    case "free":
    case "ours":
      return [];
    case "busy":
      return [`Port ${port} is taken by another program: choose another one with ${variable}.`];
    case "not-allowed":
      return [`Port ${port} may not be listened on: choose another one with ${variable}.`];
    case "no-such-address":
      return [`${host} is no address of this machine: choose another one with WAYBILL_API_HOST.`];
  }
}

function roomProblems(facts: Facts): readonly string[] {
  const need = facts.dataFolder === "ours" ? NEEDS.later : NEEDS.first[facts.role];
  const problems = [];
  if (facts.freeMemoryBytes < need.memoryBytes) {
    const free = mib(facts.freeMemoryBytes);
    problems.push(
      `Only ${free} MiB of memory are free, and ${mib(need.memoryBytes)} MiB are needed: stop something, or take a larger machine.`,
    );
  }
  if (facts.freeDiskBytes < need.diskBytes) {
    const free = mib(facts.freeDiskBytes);
    problems.push(
      `Only ${free} MiB are free on the disk of ${facts.dataDir}, and ${mib(need.diskBytes)} MiB are needed: make room, or choose another disk with WAYBILL_DATA_DIR.`,
    );
  }
  return problems;
}

function programProblems({ role, missingPrograms }: Facts): readonly string[] {
  if (missingPrograms.length === 0) return [];
  const setup = role === "node" ? "sh standalone/setup.sh agent" : "sh standalone/setup.sh";
  return [`These programs are missing: ${missingPrograms.join(", ")}. "${setup}" installs them.`];
}

function mib(bytes: number): number {
  return Math.floor(bytes / MIB);
}
