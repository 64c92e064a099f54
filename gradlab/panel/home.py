"""`TakeHome`: the section whose buttons copy and save the run."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import ipywidgets as widgets

from gradlab.panel.bridge import Bridge
from gradlab.panel.kit import Kit
from gradlab.panel.parcel import COPIES, FILES, Packer, Parcel
from gradlab.panel.run import Run

_CSS = """<style>
.gradlab .gradlab-home-words {font-size: 14px; line-height: 1.4; white-space: normal; max-width: 900px;
  color: var(--jp-ui-font-color1, #222);}
.gradlab .gradlab-home-words textarea {display: block; width: 100%; height: 160px; font-family: monospace;
  color: inherit; background: var(--jp-layout-color1, #fff);}
</style>"""


class TakeHome:
    """A foldable section; the worker of the run packs, copies and saves, and alone writes the section's words.

    Parameters
    ----------
    run : Run
        The panel's run.
    bridge : Bridge
        Clipboard and downloads.
    own : mapping
        The panel's own network, data and loss, None where it has none.
    comparing : callable
        Whether the run is lane B of two.
    kit : Kit
        Makes the widgets.

    Attributes
    ----------
    box : ipywidgets.Accordion
        What is displayed, closed at first.
    buttons : dict of str to Button
        One for each of `COPIES` and `FILES`.
    words : str
        What the section says was done.
    """

    def __init__(
        self, run: Run, bridge: Bridge, own: Mapping[str, Any], comparing: Callable[[], bool], kit: Kit
    ) -> None:
        self._run, self._bridge, self._own, self._comparing = run, bridge, own, comparing
        self._text = kit.text
        self._waiting: Parcel | None = None
        self.words = ""
        self.buttons = {name: self._button(kit, name, self._copy) for name in COPIES}
        self.buttons |= {name: self._button(kit, name, self._save) for name in FILES}
        self._said = kit.html()
        page = kit(widgets.VBox, [kit.html(_CSS), kit.row(*self.buttons.values()), self._said])
        self.box = kit.folded("home.title", page)
        bridge.on_copied.append(lambda error: run.post(partial(self._copied, error)))
        self._say(self._text("home.about"))

    def _button(self, kit: Kit, name: str, work: Callable[[str], None]) -> widgets.Button:
        button = kit.button(f"home.{name}", f"home.tip_{name}")
        button.on_click(lambda _: self._run.post(lambda: self._try(work, name)))
        return button

    # ------------------------------------------------------------------ in the worker's thread
    def _try(self, work: Callable[[str], None], name: str) -> None:
        """Do it, or say why it cannot be done."""
        self._waiting = None
        self._say(self._text("home.making"))
        try:
            work(name)
        except Exception as error:
            self._say(self._text("home.failed", error=self._text.say(error)))
            if not isinstance(error, ValueError):
                raise

    def _packer(self) -> Packer:
        return Packer(self._run.trainer, self._run.display.shown, self._own, self._text)

    def _copy(self, name: str) -> None:
        self._waiting = COPIES[name](self._packer())
        self._bridge.copy(self._waiting.content.decode())

    def _copied(self, error: str) -> None:
        """Hear whether the browser has copied."""
        parcel, self._waiting = self._waiting, None
        if parcel is None:
            return
        if error:
            self._say(self._text("home.refused", error=error), content=parcel.content.decode())
        else:
            self._tell("home.copied", parcel)

    def _save(self, name: str) -> None:
        file, media_type, pack = FILES[name]
        parcel = pack(self._packer(), file)
        self._bridge.download(file, parcel.content, media_type)
        self._tell("home.saved", parcel)

    def _tell(self, key: str, parcel: Parcel) -> None:
        lane = self._text("home.lane") if self._comparing() else ""
        said = filter(None, (self._text(key, what=parcel.what), *parcel.notes, lane))
        self._say(self._text("alt.between").join(said))

    def _say(self, words: str, content: str = "") -> None:
        self.words = words
        shown = f'<textarea readonly aria-label="{html.escape(words)}">{html.escape(content)}</textarea>'
        box = shown if content else ""
        self._said.value = f'<div class="gradlab-home-words" aria-live="polite">{html.escape(words)}{box}</div>'

    def close(self) -> None:
        """Let what waits to be copied go."""
        self._waiting = None
