"""Play, Pause and frames over a slow connection: `python -m tests.bench.bench_link`.

A proxy between browser and JupyterLab lets 1 Mbit/s through, 100 ms late there and back together.
"""

import asyncio
import contextlib
import statistics
import threading
import time
from urllib.parse import urlsplit

from playwright.sync_api import expect

from tests.bench.browser import jupyterlab
from tests.bench.report import options, save

OPEN = """import time
from gradlab import GradLab, Trainer
lab = GradLab(depth=10, width=32, lr=0.01)
steps, step = [], Trainer.step

def timed(trainer):
    record = step(trainer)
    steps.append(time.time())
    return record

Trainer.step = timed
lab"""
BYTES_A_SECOND, LATE = 125_000, 0.05
WANTED = {"frames": 12, "pause": 0.2}
CLICKED = "document.addEventListener('click', () => { window.clicked = Date.now() / 1000; }, true);"


class SlowLink:
    """Passes every connection on to a port, as fast as the line is once `slow` is set.

    Attributes
    ----------
    port : int
        Where it listens.
    slow : bool
        Whether the line is slow; a page is loaded before.
    """

    def __init__(self, target):
        self._target, self.slow = target, False
        self._free = {True: 0.0, False: 0.0}  # when the line has sent all that it was given, up and down
        self._loop, ready = asyncio.new_event_loop(), threading.Event()
        threading.Thread(target=self._serve, args=(ready,), daemon=True).start()
        ready.wait()

    def _serve(self, ready):
        server = self._loop.run_until_complete(asyncio.start_server(self._connect, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        self._loop.run_forever()

    async def _connect(self, reader, writer):
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        await asyncio.gather(self._pass_on(reader, back, True), self._pass_on(there, writer, False))

    async def _pass_on(self, reader, writer, up):
        """Send what comes when it would have arrived: after all that is on the line, and on its way for `LATE`."""
        queue = asyncio.Queue()
        sending = asyncio.ensure_future(self._deliver(queue, writer))
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(4096):
                now = time.monotonic()
                self._free[up] = max(self._free[up], now) + (len(data) / BYTES_A_SECOND if self.slow else 0)
                await queue.put((self._free[up] + (LATE if self.slow else 0), data))
        await queue.put((0.0, b""))
        await sending

    async def _deliver(self, queue, writer):
        with contextlib.suppress(ConnectionError):
            while (parcel := await queue.get())[1]:
                await asyncio.sleep(parcel[0] - time.monotonic())
                writer.write(parcel[1])
        writer.close()


def main(arguments=None):
    found = options(__doc__, arguments, tries=10)
    pause, frames = [], []
    with jupyterlab() as lab:
        link, opened = SlowLink(urlsplit(lab.url).port), lab.write("link.ipynb", OPEN)
        lab.url = lab.url.replace(str(urlsplit(lab.url).port), str(link.port))
        lab.open(opened)
        assert lab.run_all(), lab.errors()
        expect(lab.notebook.locator(".gl-stage")).to_be_visible()
        lab.page.wait_for_timeout(1500)
        lab.notebook.get_by_role("radio", name="max", exact=True).click()
        lab.page.evaluate(f"() => {{ {CLICKED} }}")
        for _ in range(found.tries):
            link.slow = True
            lab.button("Play").click()
            lab.page.wait_for_timeout(1500)
            start, before = time.perf_counter(), lab.evaluate("lab.frames")[1]
            lab.page.wait_for_timeout(3000)
            frames.append((lab.evaluate("lab.frames")[1] - before) / (time.perf_counter() - start))
            lab.button("Pause").click()
            expect(lab.button("Play")).to_be_visible()
            lab.page.wait_for_timeout(1500)
            link.slow = False
            pause.append(max(0.0, lab.evaluate("steps[-1]") - lab.page.evaluate("window.clicked")))
    rows = [
        {"what": "Pause to the last step", "median": statistics.median(pause), "worst": max(pause)},
        {"what": "frames a second", "median": statistics.median(frames), "least": min(frames)},
    ]
    print(
        f"1 Mbit/s, 100 ms there and back, {found.tries} times: Pause to the last step {rows[0]['median']:.2f} s, "
        f"worst {rows[0]['worst']:.2f} s, wanted {WANTED['pause']} s; {rows[1]['median']:.1f} frames/s, least "
        f"{rows[1]['least']:.1f}, wanted {WANTED['frames']}"
    )
    save("link", rows)


if __name__ == "__main__":
    main()
