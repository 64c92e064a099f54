"""Saved sweeps: whole or not at all, resumed where they stopped, and never written over something else."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import refusals
import torch

from gradlab import Config
from gradlab.sweep import MEASURES, Sweep, sweep

SMALL = Config(n_samples=48, batch_size=16, depth=3, width=6)
OVER = {"depth": [1, 2, 3], "clip": ["none", "value"]}


def half_run(**options):
    found = Sweep(SMALL, OVER, steps=3, seeds=2, **options)
    return found.run(progress=False, callback=lambda s: s.stop() if s.done.sum() >= 6 else None)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sweep.npz"


def test_a_saved_sweep_comes_back_with_everything_it_knew(path):
    found = sweep(
        SMALL.replace(clip_threshold=0.1), OVER | {"dataset": ["moons", "article_literal"]}, 3, 2, progress=False
    )
    found.save(path)
    again = Sweep.load(path)
    assert again.grid == found.grid
    assert (again.steps, again.learned_below, again.max_bytes) == (3, 0.3, 256 * 2**20)
    assert again.errors == found.errors != {}
    assert again.how == found.how
    assert (again.done == found.done).all()
    for name in MEASURES:
        assert np.array_equal(again.column(name), found.column(name), equal_nan=True)


def test_an_interrupted_sweep_resumes_from_its_file_and_ends_as_if_never_interrupted(path):
    half_run().save(path)
    assert not Sweep.load(path).finished
    resumed = Sweep.resume(path, progress=False)
    whole = sweep(SMALL, OVER, 3, 2, progress=False)
    assert resumed.finished
    assert Sweep.load(path).finished
    for name in MEASURES:
        assert np.array_equal(resumed.column(name), whole.column(name), equal_nan=True)


def test_what_is_finished_does_not_run_again(path):
    before = half_run()
    before.save(path)
    again = Sweep.load(path)
    ran = [n for event in again.iterate() if event.task for n in event.task.numbers]
    assert not before.done.ravel()[ran].any()


def test_sweep_with_a_path_saves_there_and_goes_on_from_there(path):
    stop = {"callback": lambda s: s.stop()}
    first = sweep(SMALL, OVER, 3, 2, progress=False, path=path, **stop)
    kept = Sweep.load(path)
    assert 0 < kept.done.sum() == first.done.sum() < kept.grid.size
    assert sweep(SMALL, OVER, 3, 2, progress=False, path=path).finished
    assert Sweep.load(path).finished


def test_networks_that_failed_run_again_only_when_asked(path):
    failing = sweep(SMALL, {"dataset": ["moons", "article_literal"]}, 2, 2, progress=False, path=path)
    assert failing.errors
    again = Sweep.load(path)
    assert [event for event in again.iterate() if event.task] == []
    assert [event.task.numbers for event in again.iterate(retry=True) if event.task] == [(2, 3)]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused_and_never_overwritten(path, share):
    half_run().save(path)
    whole = path.read_bytes()
    part = whole[: int(share * len(whole))]
    path.write_bytes(part)
    for attempt in (
        lambda: Sweep.load(path),
        lambda: Sweep.resume(path, progress=False),
        lambda: half_run().save(path),
        lambda: sweep(SMALL, OVER, 3, 2, progress=False, path=path),
    ):
        with pytest.raises(ValueError, match="no complete sweep file"):
            attempt()
        assert path.read_bytes() == part


def test_a_flipped_bit_is_noticed(path):
    half_run().save(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(ValueError, match="no complete sweep file"):
        Sweep.load(path)


def test_a_file_that_is_no_sweep_is_left_alone(path):
    np.savez(path, weights=np.ones(3))
    before = path.read_bytes()
    with pytest.raises(ValueError, match="no complete sweep file"):
        half_run().save(path)
    assert path.read_bytes() == before


def test_another_sweeps_file_is_left_alone(path):
    half_run().save(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="another sweep, its steps"):
        sweep(SMALL, OVER, 4, 2, progress=False, path=path)
    with pytest.raises(ValueError, match="another sweep, its config"):
        Sweep(SMALL.replace(lr=0.3), OVER, steps=3, seeds=2).save(path)
    assert path.read_bytes() == before


def test_a_write_that_fails_leaves_the_old_file_and_no_litter(path, monkeypatch):
    found = half_run()
    found.save(path)
    before = path.read_bytes()

    def full_disk(*_):
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(OSError, match="no space left"):
        found.run(progress=False).save(path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_a_missing_file_and_a_newer_version_are_named(path):
    with pytest.raises(FileNotFoundError):
        Sweep.load(path)
    half_run().save(path)
    with np.load(path) as file:
        parts = dict(file)
    about = json.loads(str(parts["about"])) | {"version": 99}
    np.savez(path, **{**parts, "about": np.array(json.dumps(about))})
    with pytest.raises(ValueError, match="version 99; expected at most 1"):
        Sweep.load(path)


def rewritten(path, **changes):
    """Write a file again with some of its parts changed; None leaves one out."""
    with np.load(path) as file:
        parts = {**dict(file), **changes}
    np.savez(path, **{name: part for name, part in parts.items() if part is not None})


def about(path, **changes):
    with np.load(path) as file:
        text = json.loads(str(file["about"])) | changes
    return np.array(json.dumps(text))


def test_a_file_of_another_shape_or_dtype_is_named_and_never_broadcast(path):
    found = half_run()
    rows, networks = len(MEASURES), found.grid.size
    for changes in (
        {"values": np.zeros((rows, 1))},
        {"values": np.zeros((1, networks))},
        {"values": np.zeros(())},
        {"values": np.zeros((rows, networks), dtype="float32")},
        {"values": np.full((rows, networks), "x")},
        {"done": np.ones(1, dtype=bool)},
        {"done": np.ones(networks)},
        {"done": ~found.done.ravel()},
        {"values": None},
        {"done": None},
        {"about": None},
        {"about": np.array("[]")},
        {"about": np.array("{" * 10_000)},
    ):
        path.unlink(missing_ok=True)
        found.save(path)
        rewritten(path, **changes)
        with pytest.raises(ValueError, match="no complete sweep file"):
            Sweep.load(path)
    for part in ({"plan": {}}, {"plan": None}, {"notes": {}}, {"version": None}, {"version": "one"}):
        path.unlink()
        found.save(path)
        rewritten(path, about=about(path, **part))
        with pytest.raises(ValueError, match="no complete sweep file"):
            Sweep.load(path)


def test_whatever_bits_are_flipped_the_numbers_are_exact_or_the_file_is_refused(path):
    found = half_run()
    found.save(path)
    whole, draw, refused = path.read_bytes(), np.random.default_rng(0), []
    for _ in range(1500 if os.environ.get("GRADLAB_ABUSES") else 200):
        refusals.TRIED[0] += 1
        content = bytearray(whole)
        for _ in range(int(draw.integers(1, 4))):
            content[draw.integers(len(content))] ^= 1 << int(draw.integers(8))
        path.write_bytes(content)
        try:
            again = Sweep.load(path)
        except ValueError as error:
            refused.append(str(error))
            continue
        assert (again.done == found.done).all()
        for name in MEASURES:
            assert np.array_equal(again.column(name), found.column(name), equal_nan=True)
    assert refused
    assert all(str(path) in message for message in refused)


def test_an_unusable_path_is_found_before_anything_is_trained(tmp_path):
    seen = []
    for path, error in (
        (tmp_path, ValueError),
        (tmp_path / "missing" / "sweep.npz", OSError),
        (tmp_path / ("x" * 300), OSError),
    ):
        with pytest.raises(error):
            sweep(SMALL, OVER, 3, 2, progress=False, path=path, callback=seen.append)
    assert not seen


def test_a_callback_that_raises_loses_no_finished_network(path):
    def callback(found):
        if found.done.sum() >= 4:
            raise RuntimeError("from the callback")

    with pytest.raises(RuntimeError, match="from the callback"):
        sweep(SMALL, OVER, 3, 2, progress=False, path=path, callback=callback)
    assert Sweep.load(path).done.sum() == 4


def test_a_disk_that_fills_up_costs_the_file_and_not_the_results(path, monkeypatch):
    def full_disk(*_):
        raise OSError("no space left")

    with pytest.warns(RuntimeWarning, match="the results are in memory"):
        found = sweep(
            SMALL,
            OVER,
            3,
            2,
            progress=False,
            path=path,
            callback=lambda _: monkeypatch.setattr(os, "replace", full_disk),
        )
    assert found.finished
    assert any("no space left" in note for note in found.notes)


def test_two_writers_on_one_file_keep_what_each_of_them_found(path):
    one, other = (Sweep(SMALL, OVER, steps=3, seeds=2) for _ in range(2))
    one.run(progress=False, callback=lambda s: s.stop())
    later = [event for event in other.iterate() if event.task]
    assert len(later) > 1
    one.save(path)
    half = Sweep(SMALL, OVER, steps=3, seeds=2)
    half.put(later[-1].task.numbers, later[-1].outcomes)
    half.save(path)
    both = Sweep.load(path).done
    assert (both == (one.done | half.done)).all()
    assert both.sum() > one.done.sum()


def test_a_process_killed_while_it_saves_leaves_a_whole_file(path):
    program = (
        "import sys; from gradlab import Config; from gradlab.sweep import Sweep\n"
        "s = Sweep(Config(n_samples=48, batch_size=16, depth=1, width=6), {'gain': [1.0, 2.0]}, steps=1, seeds=2)\n"
        "s.run(progress=False)\n"
        "while True: s.save(sys.argv[1]); print('saved', flush=True)"
    )
    with subprocess.Popen([sys.executable, "-c", program, path], stdout=subprocess.PIPE) as running:
        for _ in range(20):
            running.stdout.readline()
        running.kill()
    assert Sweep.load(path).finished


def test_own_data_are_not_in_the_file_but_must_be_the_same(path):
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(40, 3, generator=generator), torch.arange(40) % 2
    found = sweep(SMALL, {"gain": [0.5, 1.0]}, 3, 2, progress=False, data=data, path=path)
    assert Sweep.load(path, data=data).column("eval_loss").tolist() == found.column("eval_loss").tolist()
    for other in (None, (data[0] + 1e-6, data[1])):
        with pytest.raises(ValueError, match="its data is not the one given"):
            Sweep.load(path, data=other)
