// The style sheet, once in every document or shadow tree that a stage stands in.

/** @param {HTMLElement} el */
export function addStyle(el) {
  const root = /** @type {any} */ (el.getRootNode());
  const home = root.head ?? root;
  if (home.querySelector("style[data-gradlab-stage]")) return;
  const style = document.createElement("style");
  style.dataset.gradlabStage = "";
  // @ts-expect-error: a text that stands before the modules once they are joined
  style.textContent = STAGE_CSS;
  home.append(style);
}
