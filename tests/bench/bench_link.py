"""How soon Play answers over a slow connection: `python -m tests.bench.bench_link`."""

import statistics

from playwright.sync_api import expect

from tests.bench.browser import jupyterlab
from tests.bench.report import options, save

OPEN = "from gradlab import GradLab\nlab = GradLab(depth=10, width=32, lr=0.01)\nlab"
SLOW = {"offline": False, "latency": 100, "downloadThroughput": 125_000, "uploadThroughput": 125_000}  # bytes/s
WANTED = 0.2
# from the click to the change of the label, by the browser's own clock
WATCH = """() => {
  const button = document.querySelector('button.gl-play');
  button.addEventListener('click', () => { window.clicked = performance.now(); }, true);
  new MutationObserver(() => { window.changed = performance.now(); })
    .observe(button, { childList: true, characterData: true, subtree: true });
}"""


def answer(lab, name, other):
    """Click a button and return the seconds until its label is the other name."""
    lab.button(name).click()
    expect(lab.button(other)).to_be_visible(timeout=60_000)
    return lab.page.evaluate("(window.changed - window.clicked) / 1000")


def main(arguments=None):
    found = options(__doc__, arguments, tries=10)
    with jupyterlab() as lab:
        lab.open(lab.write("link.ipynb", OPEN))
        assert lab.run_all(), lab.errors()
        expect(lab.notebook.locator(".gl-stage")).to_be_visible()
        lab.page.wait_for_timeout(1500)
        lab.notebook.get_by_role("radio", name="max", exact=True).click()
        lab.page.evaluate(WATCH)
        session = lab.page.context.new_cdp_session(lab.page)
        session.send("Network.enable")
        session.send("Network.emulateNetworkConditions", SLOW)
        play, pause, frames = [], [], []
        for _ in range(found.tries):
            play.append(answer(lab, "Play", "Pause"))
            before = lab.evaluate("lab.frames")[1]
            lab.page.wait_for_timeout(3000)
            frames.append((lab.evaluate("lab.frames")[1] - before) / 3)
            pause.append(answer(lab, "Pause", "Play"))
            lab.page.wait_for_timeout(1500)
    rows = [
        {"what": "Play to the label Pause", "median": statistics.median(play), "worst": max(play), "wanted": WANTED},
        {"what": "Pause to the label Play", "median": statistics.median(pause), "worst": max(pause)},
        {"what": "frames per second", "median": statistics.median(frames)},
    ]
    for row in rows[:2]:
        print(f"1 Mbit/s, {row['what']}: median {row['median']:.2f} s, worst {row['worst']:.2f} s of {found.tries}")
    print(f"1 Mbit/s: about {rows[2]['median']:.1f} frames/s; wanted for Play: {WANTED} s")
    save("link", rows)


if __name__ == "__main__":
    main()
