import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** One file a question; each starts what it needs and leaves nothing behind. */
const QUESTIONS: Readonly<Record<string, () => Promise<{ run(): Promise<object> }>>> = {
  deploy: () => import("./deploy.ts"),
};

const [name = ""] = process.argv.slice(2);
const question = QUESTIONS[name];
if (!question) {
  console.log(
    `usage: npm run bench -- <question>\n\nquestions: ${Object.keys(QUESTIONS).join(", ")}`,
  );
  process.exit(name === "" || name === "--help" ? 0 : 1);
}
const { run } = await question();
const results = await run();
const folder = join(import.meta.dirname, "results");
await mkdir(folder, { recursive: true });
await writeFile(join(folder, `${name}.json`), `${JSON.stringify(results, null, 2)}\n`);
