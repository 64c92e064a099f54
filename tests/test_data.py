"""The data sets, and the checks of data that somebody brings."""

import math

import numpy as np
import pytest
import sklearn.datasets  # noqa: F401  (its import moves Python's random state, so before the test that watches it)
import torch
from torch.nn import functional as F

from gradlab import DATASETS, Config, Trainer
from gradlab.data import make_dataset

CLASSES = {
    "moons": 2,
    "circles": 2,
    "spirals": 2,
    "xor": 2,
    "blobs": 3,
    "digits": 10,
    "article": 4,
}
SEQUENCES = ["latch", "adding", "copy_memory", "parity"]
GENERATED = [name for name in DATASETS if name not in ("article", "article_literal", "digits")]


def make(name, n=200, noise=0.1, seed=0):
    return DATASETS[name](n, noise, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", DATASETS)
def test_a_dataset_gives_finite_float64_inputs_and_one_target_each(name, untouched_rng):
    x, y = make(name)
    assert x.dtype == torch.float64
    assert x.dim() == (3 if name in SEQUENCES else 2)
    assert len(x) == len(y)
    assert torch.isfinite(x).all()
    assert y.dtype == (torch.float64 if name in ("regression", "adding") else torch.int64)


@pytest.mark.parametrize("name", DATASETS)
def test_a_seed_decides_a_dataset_bit_for_bit(name):
    (x, y), (again_x, again_y) = make(name), make(name)
    assert torch.equal(x, again_x)
    assert torch.equal(y, again_y)


@pytest.mark.parametrize("name", [*GENERATED, "digits"])
def test_another_seed_gives_other_data(name):
    assert not torch.equal(make(name)[0], make(name, seed=1)[0])


@pytest.mark.parametrize("name", GENERATED)
@pytest.mark.parametrize("n", [2, 3, 7, 200])
def test_a_generated_dataset_has_as_many_samples_as_asked_for(name, n):
    assert [len(part) for part in make(name, n)] == [n, n]


@pytest.mark.parametrize(("name", "classes"), CLASSES.items())
def test_the_labels_run_from_zero_and_the_classes_are_balanced(name, classes):
    _, y = make(name, 600)
    counts = torch.bincount(y, minlength=classes)
    assert len(counts) == classes
    if name in ("moons", "circles", "spirals", "blobs"):
        assert int(counts.max() - counts.min()) <= 1
    elif name == "xor":
        assert abs(int(counts[0]) - 300) < 5 * math.sqrt(150)  # five standard deviations of a fair coin


def test_without_noise_the_points_lie_on_their_curves():
    """The radius about the right centre, in float64: 1e-12 is a few hundred roundings."""
    x, y = make("circles", noise=0.0)
    torch.testing.assert_close(x.norm(dim=1), torch.where(y == 0, 1.0, 0.5).double(), rtol=0, atol=1e-12)
    x, y = make("moons", noise=0.0)
    centres = torch.tensor([[-0.5, -0.25], [0.5, 0.25]], dtype=torch.float64)
    torch.testing.assert_close((x - centres[y]).norm(dim=1), torch.ones(200).double(), rtol=0, atol=1e-12)
    x, y = make("xor", noise=0.0)
    assert torch.equal(y, (x[:, 0].sign() == x[:, 1].sign()).long())
    x, _ = make("spirals", noise=0.0)
    assert x.norm(dim=1).max() <= 1.5


@pytest.mark.parametrize("name", ["moons", "circles", "xor", "regression"])
def test_noise_has_the_standard_deviation_asked_for(name):
    """The same seed without noise is the same set; 4000 draws know it to 1.1 %: 6 % is five such."""
    (still, target), (noisy, noisy_target) = make(name, 4000, 0.0), make(name, 4000, 0.3)
    moved = noisy_target - target if name == "regression" else noisy - still
    assert float(moved.std()) == pytest.approx(0.3, rel=0.06)
    assert float(moved.mean()) == pytest.approx(0.0, abs=5 * 0.3 / math.sqrt(4000))  # five standard errors


def test_the_digits_are_standardised_and_not_repeated():
    x, y = make("digits", 1797, 0.0)
    assert x.shape == (1797, 64)
    assert float(x.mean()) == pytest.approx(0.0, abs=1e-3)  # the constants have four digits
    assert float(x.std()) == pytest.approx(1.0, abs=1e-3)
    assert len(torch.unique(x, dim=0)) == 1797
    assert len(make("digits", 5000)[0]) == 1797
    assert torch.bincount(y).min() > 150


def test_a_sequence_has_as_many_steps_as_asked_for():
    for name in SEQUENCES:
        for steps in (21, 40):
            data = make_dataset(name, 6, 0.1, 0, torch.float64, steps)
            assert data.x.shape[:2] == (6, steps)
            assert Trainer(Config(dataset=name, sequence_length=steps, depth=1)).data.x.shape[1] == steps


def test_the_label_of_a_latch_is_the_sign_of_its_first_symbol_and_the_rest_is_noise():
    x, y = make("latch", 4000, 0.1)
    assert torch.equal(x[:, 0, 0], 2.0 * y - 1)
    assert int(y.sum()) == 2000
    # 4000 x 31 draws know a standard deviation to 0.2 %: 1 % is five such
    assert float(x[:, 1:].std()) == pytest.approx(0.5, rel=0.01)


def test_the_target_of_adding_is_the_sum_of_the_two_marked_numbers_one_in_each_half():
    x, y = make("adding", 3000)
    values, marks = x.unbind(2)
    assert torch.equal(marks.sum(1), torch.full((3000,), 2.0).double())
    assert torch.equal(marks[:, :16].sum(1), torch.ones(3000).double())
    torch.testing.assert_close((values * marks).sum(1, keepdim=True), y, rtol=1e-15, atol=0)
    assert float(y.var()) == pytest.approx(1 / 6, rel=0.1)  # 3000 draws know a variance to 2 %


def test_copy_memory_asks_for_the_ten_symbols_again_and_for_blanks_before():
    x, y = make("copy_memory", 50)
    read = x.argmax(2)
    assert torch.equal(x.sum(2), torch.ones(50, 32).double())
    assert torch.equal(y[:, -10:], read[:, :10])
    assert int(read[:, :10].max()) == 7
    assert (y[:, :-10] == 8).all()
    assert torch.equal((read == 9).nonzero()[:, 1], torch.full((50,), 21))


def test_the_label_of_parity_is_whether_the_ones_are_odd():
    x, y = make("parity", 100)
    assert set(x.unique().tolist()) == {-1.0, 1.0}
    assert torch.equal((x[:, :, 0] > 0).sum(1) % 2, y)


@pytest.mark.parametrize(
    ("name", "chance"),
    [("moons", math.log(2)), ("digits", math.log(10)), ("adding", 1 / 6), ("copy_memory", 10 * math.log(8) / 32)],
)
def test_chance_is_the_loss_of_an_answer_that_ignores_the_input(name, chance):
    data = make_dataset(name, 3000, 0.1, 0, torch.float32)
    assert data.chance == pytest.approx(chance, rel=0.1 if name == "adding" else 1e-12)


def test_a_sequence_too_short_for_its_task_is_refused():
    for name, least in (("adding", 2), ("copy_memory", 21)):
        Config(dataset=name, sequence_length=least)
        with pytest.raises(ValueError, match=f"sequence_length={least - 1} with dataset='{name}'; expected at least"):
            Config(dataset=name, sequence_length=least - 1)


def test_the_articles_data_are_as_printed():
    x, y = make("article", n=99, noise=5.0)
    assert x.tolist() == [[1.0], [2.0], [3.0]]
    assert y.tolist() == [2, 3, 1]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_data_are_cast_to_the_precision_of_the_config(dtype):
    config = Config(dtype=dtype, data_seed=7, noise=0.2, n_samples=50)
    x, y = make("moons", 50, 0.2, 7)
    trainer = Trainer(config)
    assert trainer.data.x.dtype == getattr(torch, dtype)
    assert torch.equal(trainer.data.x, x.to(getattr(torch, dtype)))
    assert torch.equal(trainer.data.y, y)


@pytest.mark.parametrize("name", [name for name in DATASETS if name != "article_literal"])
def test_every_dataset_trains_with_its_own_loss(name):
    trainer = Trainer(Config(dataset=name, n_samples=40, depth=1, batch_size=40))
    loss = F.mse_loss if name in ("regression", "adding") else F.cross_entropy
    rows = torch.randperm(trainer.data.n, generator=torch.Generator().manual_seed(0))
    output = trainer.network(trainer.data.x[rows])
    expected = loss(output.mT if output.dim() == 3 else output, trainer.data.y[rows]).item()
    assert trainer.step().loss == expected


def test_missing_scikit_learn_is_a_clear_error(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sklearn.datasets", None)
    with pytest.raises(ValueError, match=r"dataset='digits' needs scikit-learn.*gradlab-jupyter\[digits\]"):
        Trainer(Config(dataset="digits"))


# ---------------------------------------------------------------------- data of one's own
X = np.linspace(-1, 1, 24).reshape(12, 2)
LABELS = np.arange(12) % 3


@pytest.mark.parametrize(
    "pair",
    [
        (X, LABELS),
        (X.tolist(), LABELS.tolist()),
        (torch.tensor(X), torch.tensor(LABELS)),
        [X.astype("float32"), LABELS.astype("uint8")],
        (X[::-1], LABELS[::-1]),
        (np.asfortranarray(X), LABELS.astype("int32")),
    ],
    ids=["numpy", "lists", "tensors", "small types", "negative strides", "fortran order"],
)
def test_own_data_may_be_any_arrays(pair):
    trainer = Trainer(Config(depth=1, batch_size=12, lr=0.0), data=pair)
    rows = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    x, y = torch.tensor(X, dtype=torch.float32), torch.tensor(LABELS)
    if pair[0] is not X and np.array_equal(pair[0], X[::-1]):
        x, y = x.flip(0), y.flip(0)
    assert trainer.step().loss == F.cross_entropy(trainer.network(x[rows]), y[rows]).item()
    assert trainer.network(x).shape == (12, 3)


def test_read_only_arrays_are_accepted_without_a_warning():
    x = X.copy()
    x.flags.writeable = False
    assert Trainer(Config(depth=1), data=(x, LABELS)).step().applied


def test_own_data_are_copied():
    x = torch.tensor(X, dtype=torch.float32)
    trainer, twin = (Trainer(Config(depth=1), data=(x, LABELS)) for _ in range(2))
    first = twin.step().loss
    x.fill_(7.0)
    assert trainer.step().loss == first


def test_float_targets_set_the_output_width_and_a_flat_one_is_a_column():
    assert Trainer(Config(depth=1), data=(X, X * 2)).network(torch.zeros(1, 2)).shape == (1, 2)
    trainer = Trainer(Config(depth=1, batch_size=12, lr=0.0), data=(X, X[:, 0]))
    rows = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    x, y = torch.tensor(X).float()[rows], torch.tensor(X[:, :1]).float()[rows]
    assert trainer.step().loss == F.mse_loss(trainer.network(x), y).item()


def test_images_are_flattened_for_the_built_in_network():
    images = torch.linspace(0, 1, 10 * 1 * 4 * 4).reshape(10, 1, 4, 4)
    trainer = Trainer(Config(depth=1), data=(images, torch.arange(10) % 2))
    assert trainer.network.state_dict()["linears.0.weight"].shape == (32, 16)
    assert trainer.step().applied


NAN = np.where(np.arange(24).reshape(12, 2) == 5, np.nan, X)
BAD = {
    "complex X": ((X + 1j, LABELS), "data X: dtype torch.complex128; expected real numbers"),
    "complex y": ((X, X + 1j), "data y: dtype torch.complex128; expected real numbers"),
    "NaN in X": ((NAN, LABELS), r"data X: 1 entries are NaN or infinite, the first is nan at index \[2, 1\]"),
    "infinite y": ((X, np.full(12, np.inf)), r"data y: 12 entries .* the first is inf at index \[0\]"),
    "integer X": ((X.astype(int), LABELS), "data X: dtype torch.int64; expected floating point"),
    "boolean X": ((X > 0, LABELS), "data X: dtype torch.bool; expected floating point"),
    "lengths differ": ((X, LABELS[:5]), r"X has shape \(12, 2\) and y \(5,\); expected the same number"),
    "no samples": ((X[:0], LABELS[:0]), "at least 1"),
    "no features": ((X[:, :0], LABELS), "at least 1 feature"),
    "a flat X": ((X[:, 0], LABELS), r"data X: shape \(12,\); expected \(samples, features\)"),
    "a scalar": ((1.0, 1), r"X has shape \(\) and y \(\)"),
    "negative label": ((X, LABELS - 1), "data y: label -1; expected labels 0, 1, 2"),
    "labels in columns": ((X, LABELS[:, None]), r"integer labels of shape \(12, 1\); expected shape \(n,\)"),
    "text": ((np.array(["a"] * 12), LABELS), "data X: a ndarray that is no array"),
    "ragged": (([[1.0], [1.0, 2.0]], [0, 1]), "data X: a list that is no array"),
    "an object": ((object(), LABELS), "data X: a object that is no array"),
    "one array": (X, "data=ndarray; expected a pair"),
    "three arrays": ((X, X, LABELS), "data=tuple; expected a pair"),
    "a number": (5, "data=int; expected a pair"),
    "targets of three dimensions": ((X, np.ones((12, 2, 2))), r"data y: shape \(12, 2, 2\); expected"),
    "no target columns": ((X, np.ones((12, 0))), r"data y: shape \(12, 0\); expected"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_data_get_a_clear_error_before_the_first_step(case):
    data, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        Trainer(Config(depth=1), data=data)


# ---------------------------------------------------------------------- held-out data


@pytest.mark.parametrize("name", GENERATED)
def test_held_out_points_of_a_generated_set_are_fresh_and_training_keeps_its_own(name):
    config = Config(dataset=name, n_samples=64)
    plain, held = Trainer(config), Trainer(config.replace(holdout=0.5))
    assert torch.equal(plain.data.x, held.data.x)
    x, y = held.held_out
    assert x.shape == held.data.x.shape
    assert y.shape == held.data.y.shape
    assert not (x.flatten(1)[:, None] == held.data.x.flatten(1)).all(2).any()


def test_the_teacher_of_a_regression_is_asked_again_and_is_no_other():
    trainer = Trainer(Config(dataset="regression", n_samples=2000, noise=0.0, depth=0, lr=0.1, batch_size=2000))
    trainer.run(200)
    found = trainer.evaluate()  # the best linear answer to one teacher, over two draws of 2000 points
    assert found["holdout_loss"] == pytest.approx(found["loss"], rel=0.15)


def test_a_share_of_digits_and_of_own_data_is_kept_out_of_training():
    x = torch.arange(50.0)[:, None]
    trainer = Trainer(Config(depth=1, holdout=0.2), data=(x, (x[:, 0] > 25).long()))
    inside, outside = set(trainer.data.x[:, 0].tolist()), set(trainer.held_out[0][:, 0].tolist())
    assert (len(inside), len(outside)) == (40, 10)
    assert not inside & outside
    digits = Trainer(Config(dataset="digits", n_samples=100, holdout=0.25))
    assert (digits.data.n, len(digits.held_out[0])) == (75, 25)


def test_nothing_is_held_out_unless_asked_of_data_that_are_always_the_same():
    x = torch.arange(50.0)[:, None]
    for trainer in (Trainer(Config(depth=1), data=(x, x)), Trainer(Config(dataset="digits", n_samples=50))):
        assert trainer.held_out is None
        assert not [name for name in trainer.evaluate() if name.startswith("holdout")]


def test_held_out_loss_and_accuracy_are_those_of_plain_torch():
    trainer = Trainer(Config())
    trainer.run(30)
    x, y = trainer.held_out
    found, output = trainer.evaluate(), trainer.network(x).detach()
    assert found["holdout_loss"] == pytest.approx(float(F.cross_entropy(output, y)), rel=1e-6)
    assert found["holdout_accuracy"] == float((output.argmax(1) == y).double().mean())
    assert set(found) == {"loss", "accuracy", "holdout_loss", "holdout_accuracy"}
