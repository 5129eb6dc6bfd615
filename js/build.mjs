// Bundles: every src/widgets/<stem>.ts to ../nbcnnviz/static/<stem>.js and .css (ESM, one file each,
// no CDN, no dynamic import), and src/lib/standalone.ts to standalone.js (IIFE).
//
//   node build.mjs           build and check sizes and banned words
//   node build.mjs --check   check banned words alone
//   node build.mjs --watch   build again on every change
//   node build.mjs --tests   bundle tests/*.test.ts to build/tests for `node --test`

import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";
import { minify } from "terser";

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

/** Make the scripts smaller than esbuild alone does; print all sizes; returns what is too large. */
async function finish({ outputs }, module) {
  const over = [];
  for (const path of Object.keys(outputs).map((name) => join(here, name))) {
    if (path.endsWith(".js")) {
      // Nobody calls `new` on a function of ours that is not a class, has changed what Array and
      // the like are, or waits for what reading a property does.
      const harmless = { unsafe: true, unsafe_arrows: true };
      const compress = { passes: 6, pure_getters: true, ...harmless };
      const options = { module, ecma: 2020, compress };
      writeFileSync(path, (await minify(readFileSync(path, "utf8"), options)).code);
    }
    const bytes = statSync(path).size;
    console.log(`${basename(path).padEnd(24)} ${(bytes / 1000).toFixed(1).padStart(6)} kB`);
    if (bytes > limitOf(path))
      over.push(`${path} has ${bytes} bytes; its limit is ${limitOf(path)}`);
  }
  return over;
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

const shipped = {
  ...common,
  minify: true,
  outdir: out,
  // Without the checks of what a programmer passes to it: that is regl's own build for production.
  alias: { regl: "regl/dist/regl.unchecked.js" },
};

/** What widgets write often and no minifier may rename: one letter each, at the top of a bundle.
 * Of each object the members that do without it. */
const OFTEN = {
  globalThis: ["String", "Number", "Uint8Array", "Uint32Array", "Int32Array", "Float32Array"],
  Math: ["abs", "ceil", "floor", "max", "min", "round", "sqrt"],
  Number: ["isFinite", "isNaN"],
  Object: ["entries", "assign"],
  Array: ["from", "isArray"],
};
const aliases = {
  define: Object.fromEntries(
    Object.entries(OFTEN).flatMap(([of, names]) =>
      names.map((name) => [of === "globalThis" ? name : `${of}.${name}`, `_${name}`]),
    ),
  ),
  inject: ["aliases"],
  plugins: [
    {
      name: "aliases",
      setup({ onResolve, onLoad }) {
        const namespace = "aliases";
        const pick = ([from, names]) =>
          `export const { ${names.map((name) => `${name}: _${name}`)} } = ${from};\n`;
        const contents = Object.entries(OFTEN).map(pick).join("");
        onResolve({ filter: /^aliases$/ }, () => ({ path: "aliases", namespace }));
        onLoad({ filter: /^aliases$/, namespace }, () => ({ contents }));
      },
    },
  ],
};

const builds = [
  { ...shipped, ...aliases, entryPoints: sources("src/widgets", ".ts"), format: "esm" },
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
  for (const options of builds) {
    const { metafile } = await esbuild.build(options);
    over.push(...(await finish(metafile, options.format === "esm")));
  }
  for (const line of over) {
    console.error(line);
    process.exitCode = 1;
  }
}
