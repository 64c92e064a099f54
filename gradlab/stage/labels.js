// Text over the canvas as real text: crisp, selectable, read out. Only what changed is touched.

/** Labels at places of a layer that lies over a canvas. */
export class Labels {
  /** @param {HTMLElement} layer */
  constructor(layer) {
    this.layer = layer;
    /** @type {Map<string, {node: HTMLElement, said: string, turn: number}>} */
    this.held = new Map();
    this.turn = 0;
  }

  begin() {
    this.turn += 1;
  }

  /**
   * @param {string} key @param {string} text @param {number} x @param {number} y middle of the line
   * @param {{side?: "left" | "center" | "right", kind?: string, colour?: string}} [how]
   */
  put(key, text, x, y, { side = "left", kind = "", colour = "" } = {}) {
    const said = `${text}|${Math.round(x * 2)}|${Math.round(y * 2)}|${side}|${kind}|${colour}`;
    let held = this.held.get(key);
    if (!held) {
      held = { node: this.layer.appendChild(document.createElement("span")), said: "", turn: 0 };
      this.held.set(key, held);
    }
    held.turn = this.turn;
    if (held.said === said) return;
    held.said = said;
    const shift = { left: "0", center: "-50%", right: "-100%" }[side];
    held.node.className = `gl-label ${kind}`;
    if (held.node.textContent !== text) held.node.textContent = text;
    held.node.style.transform = `translate(${x.toFixed(1)}px,${y.toFixed(1)}px) translate(${shift},-50%)`;
    held.node.style.color = colour;
  }

  end() {
    for (const [key, held] of this.held) {
      if (held.turn === this.turn) continue;
      held.node.remove();
      this.held.delete(key);
    }
  }
}
