// Colours, drawn as such in every theme: no filter turns the map round.

/** @typedef {typeof LIGHT} Palette */

const BLUE_RED = [
  [23, 84, 158], [56, 130, 190], [130, 187, 218], [204, 226, 238], [240, 240, 238],
  [252, 216, 196], [241, 156, 122], [209, 84, 68], [170, 16, 38],
];

export const LIGHT = {
  bg: "#ffffff", soft: "#f4f6f8", ink: "#1b1f24", dim: "#5c6672", line: "#e3e8ed", edge: "#cfd6dd",
  accent: "#0b6bcb", onAccent: "#ffffff", alarm: "#b2182b", good: "#27764a", cold: "#1f5fa8", warn: "#8a5a00",
  first: "#9aa3ad", second: "#8250a4", after: "#c77700", theory: "#00805a", guess: "#b0358a", ghost: "#77818c",
  laneA: "#8a3ea8", laneB: "#00796f", band: "rgba(11,107,203,.16)", shade: "rgba(74,84,96,.42)",
  ramp: BLUE_RED, inf: "#7f0a1e", pulse: "#f5a400", classes: ["#d1480a", "#0a4f96", "#1d7d46", "#7b3fa0", "#8a6d00", "#00757f"],
  soil: [[253, 199, 150], [255, 251, 246], [133, 186, 222]],
};

export const DARK = {
  ...LIGHT,
  bg: "#111418", soft: "#1c2127", ink: "#eef1f4", dim: "#a3adb8", line: "#2a3138", edge: "#414a54",
  accent: "#4aa3ff", onAccent: "#06121f", alarm: "#ff6b62", good: "#4cc38a", cold: "#6db3ff", warn: "#f0b429",
  first: "#7d8792", second: "#c49bea", after: "#ffb454", theory: "#3fd6a6", guess: "#ff8ad0", ghost: "#99a3ad",
  laneA: "#d79bf0", laneB: "#43d1c4", band: "rgba(74,163,255,.22)", shade: "rgba(163,173,184,.5)",
  ramp: [
    [120, 190, 255], [72, 148, 226], [44, 104, 168], [40, 70, 104], [58, 63, 69],
    [104, 62, 54], [168, 72, 56], [226, 92, 70], [255, 138, 108],
  ],
  inf: "#ff6b62", pulse: "#ffd166", classes: ["#ff9d57", "#6db3ff", "#63d297", "#d0a3f0", "#e5c453", "#5ad1da"],
  soil: [[118, 66, 30], [34, 37, 41], [30, 78, 128]],
};

export const CONTRAST = {
  ...LIGHT,
  soft: "#f0f0f0", ink: "#000000", dim: "#2b2b2b", line: "#c4c4c4", edge: "#6b6b6b", accent: "#0047a0",
  alarm: "#9c0018", good: "#005c2e", cold: "#003f8a", first: "#555555", second: "#5b2a86", after: "#8f4a00",
  theory: "#005a3f", guess: "#8a0f66", ghost: "#3d3d3d", laneA: "#5b1a7d", laneB: "#00524b",
  ramp: [
    [0, 44, 112], [18, 86, 160], [96, 158, 206], [190, 218, 236], [243, 243, 243],
    [252, 208, 184], [236, 128, 92], [184, 40, 40], [118, 0, 20],
  ],
  inf: "#5c0010",
};

/** @type {Record<string, Palette>} */
export const PALETTES = { light: LIGHT, dark: DARK, contrast: CONTRAST };

/** The theme that the page around asks for. @param {string} wanted @param {Document} page */
export function themeOf(wanted, page) {
  const around = themeAround(page);
  if (wanted === "contrast") return around === "dark" ? "dark" : "contrast"; // the controls beside follow the page
  return wanted in PALETTES ? wanted : around;
}

/** @param {Document} page */
function themeAround(page) {
  const body = page.body;
  if (body.dataset.jpThemeLight) return body.dataset.jpThemeLight === "false" ? "dark" : "light";
  const said = new Set([...body.classList, body.dataset.theme, page.documentElement.dataset.theme]); // VS Code; marimo, Sphinx
  if (said.has("vscode-high-contrast-light")) return "contrast";
  if (["vscode-high-contrast", "vscode-dark", "dark"].some((name) => said.has(name))) return "dark";
  if (["vscode-light", "light"].some((name) => said.has(name))) return "light";
  if (matchMedia("(prefers-contrast: more)").matches) return "contrast";
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}
