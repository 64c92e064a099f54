"""Files of a history: whatever bits are flipped, what is read is exact or refused."""

import numpy as np
import pytest
import refusals

from gradlab import Config, History, Trainer
from gradlab.history import FIELDS


@pytest.fixture(scope="module")
def history():
    return Trainer(Config(n_samples=24, batch_size=12, depth=2, width=4)).run(5)


@pytest.mark.parametrize("seed", range(8))
def test_flipped_bits(history, tmp_path, seed):
    path = tmp_path / "history.npz"
    history.save(path)
    whole, draw = path.read_bytes(), np.random.default_rng(seed)
    for _ in range(25):
        content = bytearray(whole)
        content[draw.integers(len(content))] ^= 1 << int(draw.integers(8))
        path.write_bytes(content)
        with refusals.in_time():
            try:
                again = History.load(path)
            except ValueError:
                refusals.refusal(lambda: History.load(path), str(path))
                continue
        for name in FIELDS:
            assert np.array_equal(again.column(name), history.column(name), equal_nan=True)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_part_of_a_file(history, tmp_path, share):
    path = tmp_path / "history.npz"
    history.save(path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    refusals.refusal(lambda: History.load(path), "path=")


@pytest.mark.parametrize(
    "parts", [{"rows": np.ones(3)}, {"rows": np.ones((2, 1))}, {}, {"about": np.array("[]")}], ids=str
)
def test_another_file(tmp_path, parts):
    np.savez(tmp_path / "other.npz", **parts)
    refusals.refusal(lambda: History.load(tmp_path / "other.npz"), "path=")
