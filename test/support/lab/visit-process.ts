import { visit } from "../visit.ts";

/* One visit from the network that this process was started in: `port host path`, and the page as JSON. */

const [port = "", host = "", path = "/"] = process.argv.slice(2);
const page = await visit({ address: "127.0.0.1", port: Number(port) }, host, path);
process.stdout.write(JSON.stringify(page));
