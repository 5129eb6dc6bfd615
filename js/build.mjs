// Bundles: every src/widgets/<stem>.ts to ../nbcnnviz/static/<stem>.js and .css (ESM, one file each,
// no CDN, no dynamic import), and src/lib/standalone.ts to standalone.js (IIFE).
//
//   node build.mjs           build and check sizes and banned words
//   node build.mjs --check   check banned words alone
//   node build.mjs --watch   build again on every change
//   node build.mjs --tests   bundle tests/*.test.ts to build/tests for `node --test`

import { readdirSync, readFileSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const out = join(here, "../nbcnnviz/static");

/** Every widget instance carries its bundle, over the wire and into saved notebooks. */
const LIMITS = { embedding: 260_000 };
const LIMIT = 60_000;

/** Labels, file names and error texts come from users: they may never be parsed as markup. */
const BANNED = /innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment/;

function sources(folder, ending) {
  return readdirSync(join(here, folder), { recursive: true })
    .filter((name) => name.endsWith(ending))
    .map((name) => join(folder, name))
    .sort();
}

function checkSources() {
  const found = sources("src", ".ts").filter((path) =>
    BANNED.test(readFileSync(join(here, path), "utf8")),
  );
  if (found.length)
    throw new Error(`Markup made from text (${BANNED.source}) in ${found.join(", ")}`);
}

/** Print what was written; returns what is over its limit. */
function overLimit({ outputs }) {
  return Object.entries(outputs).filter(([path, { bytes }]) => {
    console.log(`${basename(path).padEnd(24)} ${(bytes / 1000).toFixed(1).padStart(6)} kB`);
    return bytes > limitOf(path);
  });
}

const limitOf = (path) => LIMITS[basename(path).replace(/\.\w+$/, "")] ?? LIMIT;

const common = {
  absWorkingDir: here,
  bundle: true,
  target: "es2022",
  metafile: true,
  charset: "utf8",
  legalComments: "none",
  logLevel: "warning",
};

const shipped = { ...common, minify: true, outdir: out };

const builds = [
  { ...shipped, entryPoints: sources("src/widgets", ".ts"), format: "esm" },
  {
    ...shipped,
    entryPoints: ["src/lib/standalone.ts"],
    format: "iife",
    globalName: "nbcnnviz",
  },
];

if (process.argv.includes("--check")) {
  checkSources();
} else if (process.argv.includes("--tests")) {
  rmSync(join(here, "build/tests"), { recursive: true, force: true });
  await esbuild.build({
    ...common,
    entryPoints: sources("tests", ".test.ts"),
    outdir: "build/tests",
    format: "esm",
    platform: "node",
    outExtension: { ".js": ".mjs" },
    loader: { ".css": "empty" },
    sourcemap: "inline",
  });
} else if (process.argv.includes("--watch")) {
  for (const options of builds) {
    const context = await esbuild.context({ ...options, logLevel: "info" });
    await context.watch();
  }
} else {
  checkSources();
  const over = [];
  for (const options of builds) over.push(...overLimit((await esbuild.build(options)).metafile));
  for (const [path, { bytes }] of over) {
    console.error(`${path} has ${bytes} bytes; its limit is ${limitOf(path)}`);
    process.exitCode = 1;
  }
}
