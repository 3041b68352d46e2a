import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { openRunFolder } from "../test/support/run-folder.ts";

/** One file a question; each starts what it needs and leaves nothing behind, also when it is killed. */
const QUESTIONS: Readonly<Record<string, () => Promise<{ run(): Promise<object> }>>> = {
  agents: () => import("./agents.ts"),
  deploy: () => import("./deploy.ts"),
  pods: () => import("./pods.ts"),
  schedule: () => import("./schedule.ts"),
  rollout: () => import("./rollout.ts"),
};

const [name = ""] = process.argv.slice(2);
const question = QUESTIONS[name];
if (!question) {
  console.log(
    `usage: npm run bench -- <question>\n\nquestions: ${Object.keys(QUESTIONS).join(", ")}`,
  );
  process.exit(name === "" || name === "--help" ? 0 : 1);
}
await using guarded = await openRunFolder();
process.stderr.write(`working in ${guarded.path}\n`);
const { run } = await question();
const results = await run();
const folder = join(import.meta.dirname, "results");
await mkdir(folder, { recursive: true });
await writeFile(join(folder, `${name}.json`), `${JSON.stringify(results, null, 2)}\n`);
