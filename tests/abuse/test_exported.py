"""Names of entries, layers and labels are data: in a script, in a call and in a page they do nothing."""

import contextlib
import io
import json
import re

import pytest
import torch
from refusals import in_time
from torch import nn

from gradlab import ACTIVATIONS, CLIPS, INITS, Config, GradLab, Trainer, replay_html, to_call

TABLES = {"activation": ACTIVATIONS, "init": INITS, "clip": CLIPS}
NAMES = [
    '"""; print("PWNED"); """',
    "'; print('PWNED'); '",
    '\nprint("PWNED")\n',
    "\r\nprint('PWNED')",
    "\u2028print('PWNED')",
    "\x0cprint('PWNED')",
    '\\"""\nprint("PWNED")',
    "{print('PWNED')}",
    "</script><script>alert('PWNED')</script>",
    "<!--<script>",
    "<img src=x onerror=alert(1)>",
    "\\",
    "\0",
    "#",
    "%s%n",
    "'''",
    "x" * 3000,
]
each_name = pytest.mark.parametrize("name", NAMES, ids=lambda n: repr(n[:24]))


def own_activation():
    """An activation of somebody's own."""
    return nn.Tanh()


def own_init(weight, gain, generator):
    """An init of somebody's own."""
    weight.normal_(0, gain, generator=generator)


def own_clip(params, threshold):
    """A clip of somebody's own."""
    for p in params:
        p.grad.mul_(0.5)


@pytest.fixture
def config(name, monkeypatch):
    for table in TABLES.values():
        monkeypatch.setattr(table, "_own", dict(table._entries))
    ACTIVATIONS.register(name, name)(own_activation)
    INITS.register(name, name)(own_init)
    CLIPS.register(name, name)(own_clip)
    return Config(n_samples=24, batch_size=12, depth=1, width=4, **dict.fromkeys(TABLES, name))


@each_name
def test_a_script_prints_its_losses_and_nothing_else(name, config):
    said = io.StringIO()
    threads = torch.get_num_threads()
    with in_time(), contextlib.redirect_stdout(said):
        exec(compile(config.to_code(3), "<script>", "exec"), {"__name__": "__main__"})
    torch.set_num_threads(threads)
    losses = Trainer(config).run(3).column("loss").tolist()
    assert said.getvalue() == "".join(f"step {i} loss {loss!r}\n" for i, loss in enumerate(losses))


@each_name
def test_a_call_and_json_give_the_name_back(name, config):
    with in_time():
        assert eval(to_call(config), {"GradLab": Config}) == config
        assert Config.from_json(config.to_json()) == config


@each_name
def test_a_page_holds_the_name_as_text(name, config):
    with in_time():
        page = replay_html(Trainer(config).run(3), config=config)
    plain = replay_html(Trainer(Config(n_samples=24, depth=1, width=4)).run(3), config=Config(depth=1))
    assert page.count("<script") == plain.count("<script")
    assert page.count("</script") == plain.count("</script")
    assert "<!--<script" not in page
    assert "<img src=x" not in page


@each_name
def test_a_panel_shows_it(name, config):
    with in_time():
        lab = GradLab(config)
        lab.run(2)
        lab.close()


@each_name
def test_a_layer_may_be_called_so(name):
    called = name.replace(".", "")
    network = nn.Sequential()
    network.add_module(called, nn.Linear(2, 2))
    with in_time():
        history = Trainer(Config(n_samples=24, batch_size=12), network=network).run(2)
        page = replay_html(history, title=name)
        lab = GradLab(Config(n_samples=24, batch_size=12), network=network)
        lab.run(1)
        lab.close()
    assert history.layer_names == (called,)
    assert "<img src=x" not in page
    (held,) = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.S)[:1] or ["{}"]
    json.loads(held)
