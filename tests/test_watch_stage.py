"""What a watched loop's stage is told, and when."""

import threading

import torch
from torch import nn

from gradlab import watch
from gradlab.panel import WatchStage
from tests.helpers.histories import history_of


def test_a_picture_takes_at_most_a_twentieth_of_the_loops_time():
    now = [0.0]

    def clock():
        now[0] += 0.05  # what looking at it takes: a picture of 0.05 s
        return now[0]

    history = history_of([1.0, 2.0])
    stage = WatchStage(history, threading.RLock(), clock=clock)
    for _ in range(10):
        stage.take()
    assert stage.frames == 1
    now[0] = 1.2
    stage.take()
    assert stage.frames == 2
    stage.take(now=True)
    assert stage.frames == 3
    stage.close()


def test_a_stage_made_before_the_loop_has_its_end_and_folds_layers_to_blocks(capsys):
    network = nn.Sequential(*(nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4)) for _ in range(3)))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    watcher = watch(network, optimizer)
    watcher.show(blocks=True)
    assert "WatchStage of 6 layers" in capsys.readouterr().out
    with watcher as history:
        for _ in range(3):
            optimizer.zero_grad()
            network(torch.ones(2, 4)).square().mean().backward()
            optimizer.step()
    shown = watcher.stage.shown()
    assert shown.history.layer_names == ("0", "1", "2")
    assert len(shown.history) == len(history) == 3
    assert shown.lanes[0].verdict[1]
    assert watcher.stage.png().startswith(b"\x89PNG")
    watcher.stage.close()


def test_a_saved_notebook_keeps_the_picture_of_the_loops_end(monkeypatch):
    bundles = []

    class Handle:
        def update(self, stage):
            bundles.append(stage._repr_mimebundle_())

    def display(stage, display_id):
        bundles.append(stage._repr_mimebundle_())
        return Handle()

    monkeypatch.setattr("gradlab.panel.live.display", display)
    network = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    watcher = watch(network, optimizer)
    watcher.show()
    with watcher:
        network(torch.ones(2, 4)).sum().backward()
        optimizer.step()
    first, last = bundles
    assert "image/png" not in first  # nothing to see before the first step
    assert last["image/png"].startswith("iVBORw0KGgo")
    assert last["application/vnd.jupyter.widget-view+json"] == first["application/vnd.jupyter.widget-view+json"]
    watcher.stage.close()
