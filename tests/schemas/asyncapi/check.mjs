// Parses an AsyncAPI document with the official parser and prints what it found as one JSON object.
// Usage: node check.mjs FOLDER_WITH_NODE_MODULES DOCUMENT
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { resolve } from "node:path";

const [installed, name] = process.argv.slice(2);
const { Parser } = createRequire(resolve(installed, "index.js"))("@asyncapi/parser");
const source = resolve(name);
const { document, diagnostics } = await new Parser().parse(await readFile(source, "utf-8"), { source });
const errors = diagnostics
  .filter((one) => one.severity === 0)
  .map((one) => `${one.path.join(".")}: ${one.message}`);
const channels = document ? document.allChannels().all().map((one) => one.address()) : null;
const messages = document ? document.allMessages().all().map((one) => one.name()) : null;
process.stdout.write(JSON.stringify({ channels, messages, errors }));
