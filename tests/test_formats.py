"""What narrow formats make of a gradient, against torch's own casts and the error function."""

import math

import numpy as np
import pytest
import torch

from gradlab import Config, Trainer
from gradlab.inspect import entries as formats
from gradlab.inspect.entries import FORMATS, format_lens

NAMES = list(FORMATS)
SATURATES = "float8_e4m3fn"  # torch casts what is too large to 448; halfway to the next number would be 464


def gradients(trainer):
    """Return dL/dW of the next micro-batch by plain autograd."""
    rows = trainer.next_window().micro_batches[0]
    loss = trainer.data.loss(trainer.network(trainer.data.x[rows]), trainer.data.y[rows])
    return torch.autograd.grad(loss, [m.weight for m in trainer.network.linears])


@pytest.mark.parametrize("name", NAMES)
def test_the_range_of_a_format_is_torchs(name):
    form, info = FORMATS[name], torch.finfo(getattr(torch, name))
    assert (form.smallest, form.normal, form.largest) == (info.smallest_normal * info.eps, info.tiny, info.max)
    below = np.nextafter(np.float32(form.overflow), np.float32(0))  # torch rounds float64 to float32 on the way
    above = np.nextafter(np.float32(form.overflow), np.float32(math.inf))
    cast = torch.tensor([float(above), float(below)]).to(getattr(torch, name)).double()
    saturates = name == SATURATES and float(cast[0]) == form.largest  # an old torch makes NaN of it
    assert saturates or not math.isfinite(float(cast[0]))
    assert float(cast[1]) == form.largest


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", [2.0**-10, 1.0, 1000.0, 2.0**16])
@pytest.mark.parametrize("knobs", [{}, {"activation": "sigmoid", "depth": 6}, {"gain": 2.5, "depth": 12}])
def test_shares_are_those_of_torchs_casts(name, scale, knobs):
    trainer = Trainer(Config(dtype="float64", width=24, n_samples=64, **knobs))
    lens = format_lens(trainer, [name], scale)
    form = FORMATS[name]
    for layer, g in enumerate(gradients(trainer)):
        alive = g[g != 0].double()
        cast = (alive * scale).to(getattr(torch, name)).double().abs()
        beyond = (alive * scale).abs() > 464.0 if name == SATURATES else ~cast.isfinite()
        zero, odd = (cast == 0).double().mean(), beyond.double().mean()
        low = ((cast > 0) & (cast < form.normal)).double().mean()
        found = lens[name][layer], lens.subnormal[name][layer], lens.overflow[name][layer]
        assert found == pytest.approx((float(zero), float(low), float(odd)), abs=1e-3)


@pytest.mark.parametrize(("power", "share"), [(-22, 0.0995), (-24, 0.3829), (-26, 0.9545)])
def test_a_normal_gradient_loses_what_the_error_function_says(power, share):
    entries = torch.empty(400_000, dtype=torch.float64).normal_(generator=torch.Generator().manual_seed(1)).abs()
    sizes = [np.sort(entries.numpy() * 2.0**power)]
    zero = formats._shares(sizes, FORMATS["float16"], 1.0)[0][0]
    law = math.erf(2.0**-25 / (2.0**power * math.sqrt(2)))
    assert law == pytest.approx(share, abs=6e-5)
    assert zero == pytest.approx(law, abs=2.5e-3)  # three standard errors of 400,000 draws


def test_the_best_scale_loses_nothing_where_a_scale_can():
    trainer = Trainer(Config(depth=10, activation="sigmoid", init="normal", width=16, n_samples=64))
    before = format_lens(trainer, ["float16"])
    assert np.nanmax(before["float16"]) > 0.1
    after = format_lens(trainer, ["float16"], before.best_scale["float16"])
    assert np.nanmax(after["float16"]) < np.nanmax(before["float16"]) / 10
    assert not np.nansum(after.overflow["float16"])


def test_a_gradient_wider_than_the_format_has_no_scale():
    trainer = Trainer(Config(depth=40, activation="sigmoid", width=16, n_samples=64, dtype="float64"))
    lens = format_lens(trainer, ["float16", "float8_e5m2"])
    assert lens.window == {"float16": None, "float8_e5m2": None}


def test_every_scale_in_the_window_keeps_every_layer():
    trainer = Trainer(Config(depth=4, width=16, n_samples=64))
    window = format_lens(trainer, ["float16"]).window["float16"]
    assert window is not None
    for scale in window:
        lens = format_lens(trainer, ["float16"], scale)
        assert np.nanmax(lens["float16"]) <= 0.01
        assert not np.nansum(lens.overflow["float16"])


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"formats": ["float12"]}, "formats='float12'; expected names from float16"),
        ({"scale": 0}, "scale=0; expected a finite number > 0"),
        ({"scale": math.nan}, "scale=nan; expected"),
        ({"scale": True}, "scale=True; expected"),
    ],
)
def test_bad_input_is_named(bad, words):
    with pytest.raises(ValueError, match=words.replace("(", r"\(")):
        format_lens(Trainer(Config(depth=1, n_samples=32)), **bad)


def test_the_run_stays_as_it_is():
    one, two = (Trainer(Config(depth=3, n_samples=64)) for _ in range(2))
    format_lens(one)
    assert [r.loss for r in one.run(5)] == [r.loss for r in two.run(5)]
