// The theme that the page around asks for, in every front end that says it in a way of its own.

import assert from "node:assert/strict";
import { test } from "node:test";

import { themeOf } from "../../gradlab/stage/palette.js";

const page = (classes = [], body = {}, root = {}) => ({ body: { classList: classes, dataset: body }, documentElement: { dataset: root } });

for (const [around, wanted] of [
  [page([], { jpThemeLight: "false" }), "dark"],
  [page(["vscode-dark"]), "dark"],
  [page(["vscode-high-contrast"]), "dark"],
  [page(["vscode-high-contrast", "vscode-high-contrast-light"]), "contrast"],
  [page(["vscode-light"]), "light"],
  [page(["dark", "dark-theme"], { theme: "dark" }), "dark"],
  [page([], {}, { theme: "dark" }), "dark"],
  [page([], {}, { theme: "light" }), "light"],
  [page(), "system"],
]) {
  test(`classes ${around.body.classList} and data ${JSON.stringify([around.body.dataset, around.documentElement.dataset])} are ${wanted}`, () => {
    for (const dark of [true, false]) { // what the system wants counts only where the page says nothing
      globalThis.matchMedia = (query) => ({ matches: query.includes("color-scheme") && dark });
      assert.equal(themeOf("auto", around), wanted === "system" ? (dark ? "dark" : "light") : wanted);
    }
  });
}
