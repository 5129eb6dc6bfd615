// What no linter here checks of the sources themselves.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

// This file runs as build/tests/sources.test.mjs.
const root = fileURLToPath(new URL("../../src", import.meta.url));
const files = readdirSync(root, { recursive: true, encoding: "utf8" })
  .map((name) => ({ name, text: readFile(name) }))
  .filter(({ text }) => text !== "");

function readFile(name: string): string {
  return /\.(ts|css)$/.test(name) ? readFileSync(join(root, name), "utf8") : "";
}

test("there is something to check", () => {
  assert.ok(files.some(({ name }) => name.endsWith("base.css")));
  assert.ok(files.some(({ name }) => name.endsWith("view.ts")));
});

test("every CSS selector starts with .nbcnnviz: hosts put the sheet into the page's head", () => {
  for (const { name, text } of files.filter((file) => file.name.endsWith(".css"))) {
    const rules = text
      .replace(/\/\*[\s\S]*?\*\//g, "")
      .replace(/@keyframes nbcnnviz-[^{]*\{(?:[^{}]*\{[^{}]*\})*\s*\}/g, "");
    for (const [, prelude = ""] of rules.matchAll(/(?<=^|[{};])\s*([^{};]+)\{/g)) {
      if (prelude.startsWith("@")) {
        assert.match(prelude, /^@(media|container|supports)/, `${name}: ${prelude}`);
        continue;
      }
      const selectors = prelude.replace(/\([^()]*\)/g, "").split(",");
      for (const selector of selectors) {
        assert.match(selector.trim(), /^\.nbcnnviz(?![\w-])/, `${name}: ${selector.trim()}`);
      }
    }
  }
});

test("no file of lib is over 400 lines", () => {
  for (const { name, text } of files.filter(({ name }) => name.startsWith("lib"))) {
    const lines = text.split("\n").length - 1;
    if (name.endsWith(".ts")) assert.ok(lines <= 400, `${name} has ${lines} lines`);
  }
});

test("nothing looks outside its root: a shadow root has no document.querySelector", () => {
  for (const { name, text } of files) {
    if (name.endsWith("standalone.ts")) continue; // the script of a whole page
    assert.doesNotMatch(text, /document\.(querySelector|getElement|head|write)/, name);
  }
});

test("no module-level state: some hosts import a module once for all widgets", () => {
  for (const { name, text } of files.filter(({ name }) => name.endsWith(".ts"))) {
    assert.doesNotMatch(text, /^(export )?(let|var) /m, name);
  }
});

test("no loading from elsewhere", () => {
  for (const { name, text } of files) {
    assert.doesNotMatch(text, /https?:\/\/(?!www\.w3\.org)|fetch\(|XMLHttpRequest/, name);
    if (!name.endsWith("standalone.ts")) assert.doesNotMatch(text, /\bimport\(/, name);
  }
});
