"""The stage of a watched loop: it repaints while the cell runs, names layers, folds them, and stands there again."""

import pytest
from panel_page import stage, step_shown
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

LOOP = """
from pathlib import Path
import torch
from torch import nn
from gradlab import watch

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.attn = nn.ModuleDict(dict(c_attn=nn.Linear(16, 16), c_proj=nn.Linear(16, 16)))
        self.mlp = nn.ModuleDict(dict(c_fc=nn.Linear(16, 16), c_proj=nn.Linear(16, 16)))

    def forward(self, x):
        x = x + self.attn.c_proj(torch.tanh(self.attn.c_attn(x)))
        return x + self.mlp.c_proj(torch.relu(self.mlp.c_fc(x)))

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.wte = nn.Linear(4, 16)
        self.h = nn.ModuleList(Block() for _ in range(50))
        self.lm_head = nn.Linear(16, 2)

    def forward(self, x):
        x = self.wte(x)
        for block in self.h:
            x = block(x)
        return self.lm_head(x)

torch.manual_seed(0)
network = Net()
optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
x, y = torch.randn(32, 4), torch.randint(0, 2, (32,))
watcher = watch(network, optimizer)
watcher.show()
with watcher as history:
    while not Path("seen").exists():
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x), y).backward()
        optimizer.step()
"""
RUN = """() => { window.ran = false;
  window.jupyterapp.commands.execute("notebook:run-cell").then(() => (window.ran = true)); }"""
SHOWS = "() => Number(document.querySelector('.gl-track')?.getAttribute('aria-valuenow'))"


def test_the_stage_of_a_watched_loop_repaints_while_the_cell_runs_and_stands_there_again_afterwards(lab):
    lab.open(lab.write("watched.ipynb", LOOP, "watcher.show(blocks=True)"))
    lab.page.evaluate(RUN)
    expect(stage(lab)).to_have_count(1)
    lab.page.wait_for_function(f"{SHOWS} > 2")
    early = step_shown(lab)
    lab.page.wait_for_function(f"{SHOWS} > {early + 3}")
    assert not lab.page.evaluate("window.ran")
    stage(lab).scroll_into_view_if_needed()
    lab.screenshot("watched-running")
    (lab.root / "seen").touch()
    lab.page.wait_for_function("window.ran")
    assert lab.errors() == []
    steps = lab.evaluate("history[-1].step")
    lab.page.wait_for_function(f"{SHOWS} == {steps}")
    assert len(names(lab, 0)) > 5  # of two hundred layers
    lab.select("Rows", "Blocks")
    expect(stage(lab).first.locator(".gl-label", has_text="wte")).to_be_visible()
    assert lab.run_cell(1)
    expect(stage(lab)).to_have_count(2)
    expect(stage(lab).nth(1).locator(".gl-label").nth(5)).to_be_attached()
    assert len(names(lab, 1)) > 5
    lab.screenshot("watched-blocks")


def names(lab, number):
    """Return the names under the profile of a stage."""
    return stage(lab).nth(number).locator(".gl-label", has_text="h.").all_inner_texts()
