"""How fast a panel trains while somebody watches it in JupyterLab: `python -m tests.bench.bench_play`.

`--threads 2` shows what becomes of it where torch's threads wait for one another beside a browser.
"""

import statistics
import time

from playwright.sync_api import expect

from tests.bench.browser import cpu_seconds, jupyterlab
from tests.bench.report import options, quartiles, save

PREPARE = """
import time, torch
torch.set_num_threads({threads})
from gradlab import Config, GradLab, Trainer

CONFIG = Config(depth={depth}, width=32, batch_size=32, lr=0.01)

def headless(seconds):
    trainer = Trainer(CONFIG)
    trainer.run(50)
    start, steps = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        trainer.run(50)
        steps += 50
    return steps / (time.perf_counter() - start)
"""


# every picture begins by clearing the stage's canvas
COUNT = """() => {
  const clear = CanvasRenderingContext2D.prototype.clearRect;
  window.painted = 0;
  CanvasRenderingContext2D.prototype.clearRect = function (...box) {
    if (this.canvas.parentElement?.classList.contains("gl-picture")) window.painted += 1;
    return clear.apply(this, box);
  };
}"""


def state(lab):
    clock, steps = lab.evaluate("(__import__('time').perf_counter(), lab.trainer.step_count)")
    return clock, steps, lab.page.evaluate("window.painted")


def play(lab, seconds):
    """Play for so long and return steps per second, pictures per second that were painted, CPU per process."""
    lab.button("Play").click()
    expect(lab.button("Pause")).to_be_visible()
    time.sleep(1)
    before, spent = state(lab), cpu_seconds()
    time.sleep(seconds)
    after, now = state(lab), cpu_seconds()
    lab.button("Pause").click()
    expect(lab.button("Play")).to_be_visible()
    took = after[0] - before[0]
    return (after[1] - before[1]) / took, (after[2] - before[2]) / took, {k: (now[k] - spent[k]) / took for k in now}


def main(arguments=None):
    found = options(__doc__, arguments, rounds=10, seconds=6, depth=10, threads=1)
    with jupyterlab() as lab:
        lab.open(
            lab.write(
                "play.ipynb", PREPARE.format(depth=found.depth, threads=found.threads), "lab = GradLab(CONFIG)\nlab"
            )
        )
        assert lab.run_all(), lab.errors()
        expect(lab.notebook.locator(".gl-stage")).to_be_visible()
        lab.page.evaluate(COUNT)
        lab.notebook.get_by_role("radio", name="10", exact=True).click()
        paced = play(lab, found.seconds)
        print(f"paced play: {paced[0]:.1f} steps/s, {paced[1]:.1f} pictures/s")
        lab.notebook.get_by_role("radio", name="max", exact=True).click()
        pairs = []
        for _ in range(found.rounds):
            alone = lab.evaluate(f"headless({found.seconds})")
            pairs.append((*play(lab, found.seconds), alone))
    ratios = [steps / alone for steps, _, _, alone in pairs]
    steps, frames, alone = (statistics.median(pair[i] for pair in pairs) for i in (0, 1, 3))
    shares = {kind: statistics.median(pair[2][kind] for pair in pairs) for kind in pairs[0][2]}
    low, high = quartiles(ratios)
    print(
        f"depth {found.depth}, width 32, batch 32, torch threads {found.threads}, median of {found.rounds} times "
        f"{found.seconds} s: playing {steps:.0f} steps/s at {frames:.1f} frames/s, headless {alone:.0f} steps/s, "
        f"ratio {statistics.median(ratios):.2f} (half of the pairs {low:.2f} to {high:.2f}); cores used: "
        + ", ".join(f"{kind} {share:.2f}" for kind, share in shares.items())
    )
    rows = [
        {"playing": p[0], "frames": p[1], "cpu": p[2], "headless": p[3], "ratio": r}
        for p, r in zip(pairs, ratios, strict=True)
    ]
    save("play", rows)


if __name__ == "__main__":
    main()
