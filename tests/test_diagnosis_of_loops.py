"""`diagnose` on training loops of one's own with a planted fault each: the verdict names it and is never healthy."""

import math
import re
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gradlab import Config, Trainer, diagnose, watch
from gradlab.data import make_dataset
from gradlab.diagnosis import verdict

MOONS = make_dataset("moons", 256, 0.1, 0, torch.float32)
CLASSES = {"num_classes": 2}
SOUND = math.sqrt(2)  # Kaiming's gain for ReLU


def chain(depth=8, act=nn.ReLU, gain=SOUND, outputs=2, width=32, seed=0):
    """Return a chain of linear layers with weights N(0, gain^2 / fan_in) and biases 0."""
    generator = torch.Generator().manual_seed(seed)
    layers = []
    for n_in, n_out in pairwise([2, *[width] * depth, outputs]):
        linear = nn.utils.skip_init(nn.Linear, n_in, n_out)
        with torch.no_grad():
            linear.weight.normal_(0, gain / math.sqrt(n_in), generator=generator)
            linear.bias.zero_()
        layers += [linear, act()]
    return nn.Sequential(*layers[:-1])


def train(
    network, x=MOONS.x, y=MOONS.y, *, steps=60, lr=0.05, adam=False, loss=F.cross_entropy, clip=None, zero=True
):
    """Run a plain loop under `watch`; `zero` is whether it clears its gradients."""
    params = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(params, lr) if adam else torch.optim.SGD(params, lr)
    order = torch.Generator().manual_seed(1)
    with watch(network, optimizer) as history:
        for _ in range(steps):
            rows = torch.randint(0, len(x), (32,), generator=order)
            if zero:
                optimizer.zero_grad()
            loss(network(x[rows]), y[rows]).backward()
            if clip:
                nn.utils.clip_grad_norm_(params, clip)
            optimizer.step()
    return history


class Functional(nn.Module):
    """A chain whose weights are used without calling its layers, so that no hook fires."""

    def __init__(self):
        super().__init__()
        self.chain = chain()

    def forward(self, x):
        for layer in self.chain:
            x = F.linear(x, layer.weight, layer.bias) if isinstance(layer, nn.Linear) else F.relu(x)
        return x


class Hidden(nn.Module):
    """Three functional ReLU layers; `bias` of the second kills it, `dropout` drowns all, `cut` detaches its input."""

    def __init__(self, bias=0.0, dropout=0.0, cut=False):
        super().__init__()
        self.first, self.second, self.third = nn.Linear(2, 32), nn.Linear(32, 32), nn.Linear(32, 32)
        self.last = nn.Linear(32, 2)
        self.dropout, self.cut = dropout, cut
        sound = chain(3)
        for own, other in zip(self.children(), sound[::2], strict=True):
            own.load_state_dict(other.state_dict())
        nn.init.constant_(self.second.bias, bias)
        nn.init.constant_(self.third.bias, 0.1)

    def forward(self, x):
        h = F.dropout(F.relu(self.first(x)), self.dropout)
        h = F.dropout(F.relu(self.second(h.detach() if self.cut else h)), self.dropout)
        return self.last(F.dropout(F.relu(self.third(h)), self.dropout))


class Recurrent(nn.Module):
    """A ReLU or tanh RNN whose recurrent matrix is `scale` times an orthogonal one, read at its last step."""

    def __init__(self, scale, nonlinearity, outputs):
        super().__init__()
        self.rnn = nn.RNN(1, 32, nonlinearity=nonlinearity, batch_first=True)
        self.out = nn.Linear(32, outputs)
        with torch.no_grad():
            q = torch.linalg.qr(torch.randn(32, 32, generator=torch.Generator().manual_seed(0)))[0]
            self.rnn.weight_hh_l0.copy_(scale * q)

    def forward(self, x):
        return self.out(self.rnn(x)[0][:, -1])


def dead_from_the_start():
    return Hidden(bias=-100.0)


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2))


def labels(classes):
    return torch.randint(0, classes, MOONS.y.shape, generator=torch.Generator().manual_seed(2))


def zero_output():
    network = chain()
    nn.init.zeros_(network[-1].weight)
    return network


def with_nan():
    x = MOONS.x.clone()
    x[7] = math.nan
    return x


class LoRA(nn.Module):
    """A frozen linear layer and a product of rank 4 beside it, whose second factor begins at 0."""

    def __init__(self):
        super().__init__()
        self.base, self.a = nn.Linear(32, 32), nn.Linear(32, 4, bias=False)
        self.b = nn.Linear(4, 32, bias=False)
        self.base.requires_grad_(False)
        nn.init.zeros_(self.b.weight)

    def forward(self, x):
        return self.base(x) + self.b(self.a(x))


FAULTS = {  # name: (loop, what diagnose is told, key of the verdict, words that it says)
    "gradients never cleared, SGD": (
        lambda: train(chain(), lr=0.01, zero=False),
        CLASSES,
        "uncleared",
        r"zero_grad\(\)",
    ),
    "the same with Adam": (
        lambda: train(chain(), lr=1e-3, adam=True, zero=False),
        CLASSES,
        "uncleared",
        r"zero_grad\(\)",
    ),
    "the same, and it learns": (lambda: train(chain(), lr=1e-3, zero=False), CLASSES, "uncleared", r"zero_grad\(\)"),
    "dropout .95": (lambda: train(Hidden(dropout=0.95)), CLASSES, ("stuck_chance", "step_too"), "guessing|overshoot"),
    "labels drawn at random": (lambda: train(chain(), y=labels(2), lr=0.01), CLASSES, "stuck", "0.001|Adam"),
    "a dead functional layer": (
        lambda: train(dead_from_the_start()),
        CLASSES,
        "dead",
        "second",
    ),
    "outputs of 1e10 on four classes": (
        lambda: train(chain(10, gain=12.0, outputs=4), y=labels(4), lr=1e-30),
        {"num_classes": 4},
        "exploding_hidden",
        "kaiming_normal_",
    ),
    "unscaled targets": (
        lambda: train(chain(3, outputs=1), y=1e4 * MOONS.x[:, :1], loss=F.mse_loss),
        {},
        "diverged_scale",
        r"y\.std\(\)",
    ),
    "unscaled targets, tiny steps": (
        lambda: train(chain(3, outputs=1), y=1e4 + 1e3 * MOONS.x[:, :1], lr=1e-9, loss=F.mse_loss),
        {},
        "stuck_scale",
        r"y\.std\(\)",
    ),
    "a learning rate of 0": (lambda: train(chain(), lr=0.0), CLASSES, "stuck_step", "too small"),
    "a learning rate of 50": (
        lambda: train(chain(act=nn.Tanh, gain=1.0), lr=50.0),
        CLASSES,
        "step_too_large",
        "/= 10",
    ),
    "clipped to 1e-5": (lambda: train(chain(), clip=1e-5), CLASSES, "clipped_always", "max_norm"),
    "deep sigmoid": (lambda: train(chain(act=nn.Sigmoid, gain=1.0)), CLASSES, "vanishing", "for every layer"),
    "weights a third too small": (lambda: train(chain(20, gain=0.6)), CLASSES, "vanishing", "for every layer"),
    "tanh, gain 3, 30 layers": (lambda: train(chain(30, nn.Tanh, 3.0)), CLASSES, "exploding", "xavier_normal_"),
    "ReLU, weights twice too large": (lambda: train(chain(20, gain=2.83)), CLASSES, "diverged_exploding", "step 0"),
    "a NaN in the data": (lambda: train(chain(), x=with_nan()), CLASSES, "diverged_data", "isfinite"),
    "no hook fires": (lambda: train(Functional(), lr=0.1), CLASSES, "unsure_unseen", "torch.compile"),
    "nobody says what guessing costs": (
        lambda: train(chain(3, outputs=1), y=2 * MOONS.x[:, :1], lr=1e-3, loss=F.mse_loss, steps=20),
        {},
        "unsure_chance",
        "chance_loss=",
    ),
    "an exploding recurrent network": (
        lambda: train(Recurrent(2.5, "relu", 1), noise(256, 50, 1), noise(256, 1), lr=0.01, loss=F.mse_loss),
        {},
        "diverged",
        "not finite",
    ),
}


@pytest.mark.filterwarnings("ignore:gradlab.watch saw no forward pass")  # as the diagnosis then says too
@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found(name):
    loop, told, key, words = FAULTS[name]
    torch.manual_seed(0)
    found = diagnose(loop(), **told)
    assert found.key.startswith(key), found
    assert found.kind != "healthy"
    assert re.search(words, found.sentence), found.sentence
    assert "nan" not in found.sentence.lower().replace("a nan", "")
    assert found.suggestion == {}


def test_there_are_twenty_planted_faults():
    assert len(FAULTS) >= 20


@pytest.mark.parametrize(
    ("make", "told"),
    [(chain, CLASSES), (chain, {}), (zero_output, CLASSES), (lambda: chain(depth=2), CLASSES)],
    ids=["a sound chain", "nobody says what guessing costs", "a zero-initialised output", "a shallow one"],
)
def test_a_sound_loop_is_healthy(make, told):
    found = diagnose(train(make(), lr=0.1), **told)
    assert found.kind == "healthy", found


def test_the_zero_factor_of_lora_is_no_dead_layer():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), LoRA(), nn.ReLU(), LoRA(), nn.ReLU(), nn.Linear(32, 2))
    for steps in (2, 150):
        found = diagnose(train(network, lr=0.1, steps=steps), **CLASSES)
        assert found.kind in ("unsure", "healthy"), found


@pytest.mark.filterwarnings("ignore:gradlab.watch saw no forward pass")  # as the diagnosis then says too
def test_what_was_not_seen_is_said():
    found = diagnose(train(Hidden(cut=True), lr=0.1), **CLASSES)
    assert "25 % of the layers showed no backward signal" in found.sentence
    unseen = train(Functional(), lr=0.1)
    assert verdict(unseen, **CLASSES).headline == "NOT SEEN"
    assert verdict(unseen, **CLASSES).tone == "unknown"


def test_an_exploding_recurrence_and_unscaled_targets_are_never_told_that_weights_are_too_small():
    for name in ("an exploding recurrent network", "unscaled targets", "unscaled targets, tiny steps"):
        sentence = diagnose(FAULTS[name][0]()).sentence
        assert "too small" not in sentence
        assert "shrink" not in sentence


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"chance_loss": 0.0}, "chance_loss=0.0; expected a finite number > 0"),
        ({"chance_loss": math.nan}, "expected a finite number > 0"),
        ({"num_classes": 1}, "num_classes=1; expected a whole number >= 2"),
        ({"num_classes": 2.5}, "expected a whole number >= 2"),
    ],
)
def test_a_loss_of_guessing_that_is_none_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        diagnose(train(chain(2), steps=1), **arguments)


# ---------------------------------------------------------------------- through time
class Pieces(nn.Module):
    """An RNN over two pieces of a sequence, the state cut between them; packed if asked for."""

    def __init__(self, packed=False):
        super().__init__()
        self.rnn, self.out, self.packed = nn.RNN(1, 16, batch_first=True), nn.Linear(16, 2), packed
        nn.init.orthogonal_(self.rnn.weight_hh_l0)

    def forward(self, x):
        if self.packed:
            x = nn.utils.rnn.pack_padded_sequence(x, [12] * len(x), batch_first=True)
            return self.out(self.rnn(x)[1][0])
        _, h = self.rnn(x[:, :6])
        return self.out(self.rnn(x[:, 6:], h.detach())[0][:, -1])


def loop(network):
    x, y = noise(32, 12, 1), torch.arange(32) % 2
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    with watch(network, optimizer, on_error="raise") as history:
        for _ in range(10):
            optimizer.zero_grad()
            F.cross_entropy(network(x), y).backward()
            optimizer.step()
    return history


def test_a_state_that_is_cut_between_pieces_is_named_with_what_to_do_in_pytorch():
    found = diagnose(loop(Pieces()), num_classes=2)
    assert found.key == "vanishing_truncated"
    assert "the first 6 time steps" in found.sentence
    assert "fewer `h.detach()`" in found.sentence


def test_why_there_is_no_signal_through_time_stands_in_the_sentence():
    history = loop(Pieces(packed=True))
    config = Config(dataset="latch", sequence_length=12, n_samples=32)
    for found in (history, Trainer(config, network=Pieces(packed=True)).run(3)):
        assert [mark.kind for mark in found.marks] == ["untimed"]
        assert "a packed sequence has no time signal here" in diagnose(found).sentence
        assert "打包" in diagnose(found, lang="zh").sentence
