"""The section *Phase diagram*."""

EN = {
    "phase.title": "Phase diagram",
    "phase.map": "Map",
    "phase.stop": "Stop",
    "phase.tip_map": "Measure the growth of the backward signal over gain and depth around this network",
    "phase.tip_stop": "Stop measuring and keep what is there",
    "phase.about": "Measures how fast the backward signal grows per layer at init, over gain and depth around "
    "this network; takes about 5 seconds.",
    "phase.starts": "Measuring ...",
    "phase.own": "The phase diagram needs a built-in network: gain and depth of your own are not known here.",
    "phase.progress": "Measuring: {known} of {cells} cells.",
    "phase.done": "Measured {known} of {cells} cells.",
    "phase.stopped": "Stopped: {known} of {cells} cells are kept.",
    "phase.stale": "This map is of other settings ({knobs}): press Map again.",
    "phase.errors": "Networks that failed: {count}, such as {error}",
    "phase.failed": "No phase diagram: {error}",
    "phase.cell": "gain {gain}, depth {depth}: {what}",
    "phase.here": "{cell} (nearest to this network)",
    "phase.growth": "x {per_layer} per layer, {regime} (x {total} in all)",
    "phase.exploding": "exploding",
    "phase.vanishing": "vanishing",
    "phase.steady": "steady",
    "phase.axes": "Gain across, depth up; click a cell to load it.",
    "phase.scale": "x per layer",
    "phase.marked": "framed: nearest to this network",
    "phase.theory": "dashed: theory, chi = 1 at gain {gains}",
    "phase.no_theory": "theory has no critical gain here",
}

ZH: dict[str, str] = {}
