"""`LabPage`: what a person does with a notebook in JupyterLab, as verbs for tests."""

from __future__ import annotations

import ast
import re
import time
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import ConsoleMessage, Locator, Page

_KERNEL = "window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel"
_OPEN = "[...window.jupyterapp.shell.widgets('main')].filter(tab => tab.sessionContext)"
_EMPTY = f"() => Boolean(window.jupyterapp) && !{_OPEN}.length"
_MODEL = "window.jupyterapp.shell.currentWidget.content.model.sharedModel"
# As Colab does: a comm message of the kernel whose request has finished is dropped.
DROP_FINISHED = f"""() => {{
  const kernel = {_KERNEL};
  const finished = new Set();
  window.dropped = window.taken = 0;
  const handle = kernel._handleCommMsg.bind(kernel);
  kernel._handleCommMsg = async (message) => {{
    if (finished.has(message.parent_header.msg_id)) {{ window.dropped += 1; return; }}
    window.taken += 1;
    await handle(message);
  }};
  kernel.iopubMessage.connect((_, message) => {{
    if (message.header.msg_type === "status" && message.content.execution_state === "idle")
      finished.add(message.parent_header.msg_id);
  }});
}}"""


class LabPage:
    """A browser tab with JupyterLab in it, and the verbs that a widget test needs.

    Locators look into the notebook in front only: JupyterLab keeps hidden tabs in the page. Cells that are
    scrolled far away leave the page, so `errors` reads the notebook's model instead.

    Parameters
    ----------
    page : playwright.sync_api.Page
    url : str
        Where the server is.
    root : Path
        The directory that the server shows.
    shots : Path
        Where screenshots go.

    Attributes
    ----------
    console_errors : list of str
        What the page has complained about so far: errors on its console and uncaught exceptions.
    """

    def __init__(self, page: Page, url: str, root: Path, shots: Path) -> None:
        self.page, self.url, self.root, self.shots = page, url, root, shots
        self.console_errors: list[str] = []
        page.on("console", self._note_console)
        page.on("pageerror", lambda error: self.console_errors.append(str(error)))

    def _note_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.console_errors.append(message.text)

    # ------------------------------------------------------------------ notebooks
    def write(self, name: str, *cells: str) -> str:
        """Write a notebook of code cells where the server finds it, and return its name."""
        spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells], metadata={"kernelspec": spec})
        nbformat.write(notebook, self.root / name)
        return name

    def open(self, name: str) -> None:
        """Open a notebook and wait until its kernel can be used; JupyterLab is loaded unless it is there, empty."""
        if self.page.evaluate(_EMPTY):
            self.command("docmanager:open", path=name)
        else:
            self.page.goto(f"{self.url}/lab/tree/{name}?reset")  # reset: no tabs of an earlier visit
        self.wait_open()

    def open_beside(self, name: str, kernel: str) -> None:
        """Open a notebook in another tab of JupyterLab, with a kernel that runs already, by its id."""
        self.command("docmanager:open", path=name, kernel={"id": kernel})
        self.wait_open()

    def wait_open(self) -> None:
        """Wait until the kernel of the notebook in front can be used."""
        self.page.wait_for_function("() => window.jupyterapp?.shell?.currentWidget?.sessionContext")
        self.page.evaluate(
            "async () => { const tab = window.jupyterapp.shell.currentWidget;"
            " await tab.context.ready; await tab.sessionContext.ready; }"
        )
        self.wait_idle()

    def command(self, name: str, **arguments: Any) -> bool:
        """Run a command of JupyterLab and return, when it has finished, whether it says that all went well."""
        return self.page.evaluate(
            "([name, args]) => Promise.resolve(window.jupyterapp.commands.execute(name, args)).then(r => r === true)",
            [name, arguments],
        )

    def retype(self, code: str) -> None:
        """Put other code into the first cell, and take every output away."""
        self.command("notebook:clear-all-cell-outputs")
        self.page.evaluate(f"code => {_MODEL}.cells[0].setSource(code)", code)

    def run_all(self) -> bool:
        """Run all cells; True if none failed."""
        done = self.command("notebook:run-all-cells")
        self.wait_idle()
        return done

    def run_cell(self, index: int) -> bool:
        """Select cell number `index`, from 0, and run it; True if it did not fail."""
        self.page.evaluate("i => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = i; }", index)
        done = self.command("notebook:run-cell")
        self.wait_idle()
        return done

    def wait_idle(self, seconds: float = 60) -> None:
        """Wait until the kernel says idle; it also does between two cells, so await a command first."""
        self.page.wait_for_function(f"() => {_KERNEL}?.status === 'idle'", timeout=1000 * seconds)

    def cells(self) -> list[dict[str, Any]]:
        """Return the cells as the notebook file would hold them."""
        return self.page.evaluate(f"() => {_MODEL}.toJSON().cells")

    def errors(self) -> list[str]:
        """Return ``Name: message`` of every exception that stands in the notebook's outputs."""
        outputs = [output for cell in self.cells() for output in cell.get("outputs", [])]
        return [f"{o['ename']}: {o['evalue']}" for o in outputs if o["output_type"] == "error"]

    def save(self) -> nbformat.NotebookNode:
        """Save the notebook and return what its file now holds."""
        self.page.evaluate("() => window.jupyterapp.shell.currentWidget.context.save()")
        path = self.page.evaluate("() => window.jupyterapp.shell.currentWidget.context.path")
        return nbformat.read(self.root / path, as_version=4)

    def close_tab(self) -> None:
        """Close the notebook's tab, its changes saved; the kernel lives on."""
        self.save()
        self.command("application:close")

    def close_all(self) -> None:
        """Close every notebook without saving it, and end its kernel."""
        self.page.evaluate(
            f"async () => {{ for (const tab of {_OPEN}) {{ await tab.sessionContext.shutdown();"
            " tab.context.model.dirty = false; tab.close(); } }"
        )

    # ------------------------------------------------------------------ the kernel
    def evaluate(self, expression: str) -> Any:
        """Return the value in the kernel of a Python expression, which must be a plain literal."""
        reply = self.page.evaluate(
            f"async code => (await {_KERNEL}.requestExecute({{code: '', silent: true, store_history: false,"
            " user_expressions: {value: code}}).done).content.user_expressions.value",
            expression,
        )
        if reply["status"] != "ok":
            raise RuntimeError(f"{expression}: {reply['ename']}: {reply['evalue']}")
        return ast.literal_eval(reply["data"]["text/plain"])

    def until(self, expression: str, value: Any) -> None:
        """Wait until an expression has that value in the kernel: what a widget sends takes its time."""
        end = time.monotonic() + 30
        while (found := self.evaluate(expression)) != value and time.monotonic() < end:
            self.page.wait_for_timeout(50)
        assert found == value, expression

    def threads(self) -> list[str]:
        """Return the names of the threads that live in the kernel, sorted."""
        return self.evaluate("sorted(t.name for t in __import__('threading').enumerate())")

    def memory(self) -> float:
        """Return the memory that the kernel holds, in MiB."""
        return self.evaluate("__import__('psutil').Process().memory_info().rss") / 2**20

    def interrupt(self) -> None:
        """Interrupt the kernel, as the stop button does."""
        self.page.evaluate(f"() => {_KERNEL}.interrupt()")

    def restart(self) -> None:
        """Restart the kernel without asking, and wait until it can be used."""
        self.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.restartKernel()")
        self.wait_idle()

    # ------------------------------------------------------------------ what stands in the notebook
    @property
    def notebook(self) -> Locator:
        """The notebook in front."""
        return self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")

    def control(self, label: str) -> Locator:
        """Return the widget whose description is exactly `label`: its label with what stands beside it."""
        exactly = re.compile(rf"^\s*{re.escape(label)}\s*$")
        described = self.page.locator(".widget-label", has_text=exactly)
        return self.notebook.locator(".widget-inline-hbox", has=described)

    def slider(self, label: str) -> Locator:
        """Return a slider's handle."""
        return self.control(label).get_by_role("slider")

    def readout(self, label: str) -> Locator:
        """Return the number beside a slider."""
        return self.control(label).locator(".widget-readout")

    def drag(self, label: str, dx: float, moves: int = 10) -> None:
        """Drag a slider's handle `dx` pixels to the right, in so many mouse moves."""
        handle = self.slider(label)
        handle.scroll_into_view_if_needed()
        box = handle.bounding_box()
        if box is None:
            raise RuntimeError(f"the slider {label!r} is not visible")
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + dx, y, steps=moves)
        self.page.mouse.up()

    def press(self, label: str, *keys: str) -> None:
        """Press keys, one after the other, on a slider's handle."""
        for key in keys:
            self.slider(label).press(key)

    def type_number(self, label: str, text: str) -> None:
        """Replace the number beside a slider, or in a number box, and press Enter."""
        readout = self.readout(label)
        if readout.count():
            readout.click()
            readout.fill(text)
            readout.press("Enter")
        else:
            box = self.control(label).locator("input")
            box.fill(text)
            box.press("Enter")

    def select(self, label: str, choice: str) -> None:
        """Choose an entry of a dropdown by the text that a person reads."""
        self.control(label).locator("select").select_option(label=choice)

    def button(self, name: str) -> Locator:
        """Return the button whose accessible name is exactly `name`."""
        return self.notebook.get_by_role("button", name=name, exact=True)

    def toggle(self, name: str) -> Locator:
        """Return the toggle button whose text is exactly `name`."""
        exactly = re.compile(rf"^\s*{re.escape(name)}\s*$")
        return self.notebook.locator("button.widget-toggle-button", has_text=exactly)

    def is_on(self, name: str) -> bool:
        """Return whether a toggle button is pressed."""
        return "mod-active" in (self.toggle(name).get_attribute("class") or "").split()

    def status(self) -> Locator:
        """Return the status lines: what announces itself as one, and a panel's counters."""
        return self.notebook.locator("[role=status], .gradlab-status")

    def alert(self) -> Locator:
        """Return what announces itself as an alert."""
        return self.notebook.get_by_role("alert")

    def screenshot(self, name: str) -> Path:
        """Save what the page shows as `name`.png and return its path."""
        self.shots.mkdir(parents=True, exist_ok=True)
        path = self.shots / f"{name}.png"
        self.page.screenshot(path=path)
        return path
