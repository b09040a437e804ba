// Parses AsyncAPI documents with the official parser and prints what it found, a JSON object each, as one array.
// Usage: node check.mjs FOLDER_WITH_NODE_MODULES DOCUMENT...
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { resolve } from "node:path";

const [installed, ...names] = process.argv.slice(2);
const { Parser } = createRequire(resolve(installed, "index.js"))("@asyncapi/parser");
const parser = new Parser();
const found = [];
for (const name of names) {
  const source = resolve(name);
  const { document, diagnostics } = await parser.parse(await readFile(source, "utf-8"), { source });
  const errors = diagnostics
    .filter((one) => one.severity === 0)
    .map((one) => `${one.path.join(".")}: ${one.message}`);
  const channels = document ? document.allChannels().all().map((one) => one.address()) : null;
  const messages = document ? document.allMessages().all().map((one) => one.name()) : null;
  found.push({ channels, messages, errors });
}
process.stdout.write(JSON.stringify(found));
