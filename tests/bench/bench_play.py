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
    start, computed, steps = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - start < seconds:
        trainer.run(50)
        steps += 50
    return steps / (time.perf_counter() - start), steps / (time.process_time() - computed)
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
    clock, steps, answers = lab.evaluate("(__import__('time').perf_counter(), lab.trainer.step_count, lab.frames[1])")
    return clock, steps, lab.page.evaluate("window.painted"), answers


def play(lab, seconds):
    """Play for so long and return a second's steps, pictures that were painted, answers, and CPU per process."""
    lab.button("Play").click()
    expect(lab.button("Pause")).to_be_visible()
    time.sleep(1)
    before, spent = state(lab), cpu_seconds()
    time.sleep(seconds)
    after, now = state(lab), cpu_seconds()
    lab.button("Pause").click()
    expect(lab.button("Play")).to_be_visible()
    took, *counts = (b - a for a, b in zip(before, after, strict=True))
    return *(count / took for count in counts), {k: (now[k] - spent[k]) / took for k in now}


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
        rows = []
        for _ in range(found.rounds):
            alone, computing = lab.evaluate(f"headless({found.seconds})")
            steps, painted, answers, shares = play(lab, found.seconds)
            row = {"playing": steps, "headless": alone, "ratio": steps / alone, "frames": painted}
            rows.append(row | {"beside ms": 1e3 * (shares["kernel"] - steps / computing) / answers} | shares)
    median = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    low, high = quartiles([row["ratio"] for row in rows])
    print(
        f"depth {found.depth}, width 32, batch 32, torch threads {found.threads}, median of {found.rounds} times "
        f"{found.seconds} s: playing {median['playing']:.0f} steps/s at {median['frames']:.1f} frames/s, headless "
        f"{median['headless']:.0f} steps/s, ratio {median['ratio']:.2f} (half of the pairs {low:.2f} to {high:.2f}); "
        f"beside its steps an answer takes {median['beside ms']:.1f} ms of the kernel's processor; cores used: "
        + ", ".join(f"{kind} {median[kind]:.2f}" for kind in shares)
    )
    save("play", rows)


if __name__ == "__main__":
    main()
