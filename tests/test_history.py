"""The history: columns, bounded memory on long runs, marks, and what a person reads of a divergence."""

import dataclasses
import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from gradlab import Config, Divergence, History, Mark, StepRecord, Trainer
from gradlab.blocks import Blocks, groups_of

PER_LAYER = (
    "grad_norm",
    "clipped_norm",
    "weight_norm",
    "update_ratio",
    "delta_norm",
    "activation_std",
    "saturated",
    "dead",
    "zero_share",
    "subnormal_share",
    "overflow_share",
)
NUMBERS = ("step", "epoch", "samples", "loss", "seconds", "total_norm", "clip_coef", "clip_cosine")


def record(step, layers=2, **changed):
    """A synthetic step whose every measure can be told from its number."""
    arrays = {name: step + (k + 1) / 100 + np.arange(layers) / 10 for k, name in enumerate(PER_LAYER)}
    values = {
        "step": step,
        "epoch": step // 10,
        "samples": 32 * (step + 1),
        "micro_batches": step + 1,
        "updates": step + 1,
        "applied": True,
        "loss": 1.0 / (step + 1),
        "seconds": 0.001 * step,
        "total_norm": float(step),
        "clipped_total_norm": step / 2,
        "clip_coef": 0.5,
        "clip_cosine": 1.0,
        "has_gradient": np.ones(layers),
        **arrays,
    }
    return StepRecord(**{**values, **changed})


def filled(steps, layers=2):
    history = History([f"layer {i + 1}" for i in range(layers)])
    for step in range(steps):
        history.append(record(step, layers))
    return history


def test_a_history_is_a_sequence_of_records():
    history = filled(5)
    assert len(history) == 5
    assert [r.step for r in history] == [0, 1, 2, 3, 4]
    assert history[-1].step == history[4].step == 4
    assert [r.step for r in history[1:4:2]] == [1, 3]
    assert history[2].loss == pytest.approx(1 / 3, rel=1e-15)
    assert isinstance(history[2].samples, int)
    assert history[2].applied is True


@pytest.mark.parametrize("index", [5, -6, 100])
def test_an_index_outside_names_the_range(index):
    with pytest.raises(IndexError, match=rf"history\[{index}\]; expected an index from -5 to 4"):
        filled(5)[index]


def test_a_record_comes_back_as_it_went_in():
    history = filled(3)
    for name in (f.name for f in dataclasses.fields(StepRecord)):
        np.testing.assert_array_equal(getattr(history[1], name), getattr(record(1), name))


def test_a_column_is_float64_by_steps_or_by_steps_and_layers():
    history = filled(7, layers=3)
    for name in NUMBERS:
        assert history.column(name).shape == (7,)
    for k, name in enumerate(PER_LAYER):
        column = history.column(name)
        assert column.shape == (7, 3)
        assert column.dtype == np.float64
        expected = np.arange(7)[:, None] + (k + 1) / 100 + np.arange(3) / 10
        np.testing.assert_allclose(column, expected, rtol=1e-15)  # the same sum in another order


def test_an_empty_history_has_empty_columns():
    history = filled(0)
    assert history.column("loss").shape == (0,)
    assert history.column("grad_norm").shape == (0, 2)
    assert list(history) == []
    assert history.diverged is None
    assert repr(history) == "History(0 steps, 2 layers)"


@pytest.mark.parametrize("name", ["grad", "", None, 3, "Loss"])
def test_an_unknown_column_is_refused_with_the_columns_there_are(name):
    with pytest.raises(ValueError, match=r"column .*; expected one of step, epoch, samples, .*grad_norm.*dead"):
        filled(1).column(name)


def test_nobody_can_change_the_past():
    history = filled(3)
    history.column("loss")[:] = 99.0
    history.column("grad_norm")[:] = 99.0
    assert history[0].loss == 1.0
    with pytest.raises(ValueError, match="read-only"):
        history[0].grad_norm[0] = 99.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        history[0].loss = 99.0
    kept = history[0].grad_norm
    history.append(record(3))
    history.truncate(0)
    history.append(record(77))
    assert kept[0] == pytest.approx(0.01)


def append_many(history, steps, layers):
    """Append synthetic steps; one mutable stand-in for a record, as 200 000 frozen ones take seconds to make."""
    stand_in = SimpleNamespace(**vars(record(0, layers)))
    first = stand_in.grad_norm
    longest = 0
    for step in range(steps):
        stand_in.step, stand_in.loss, stand_in.grad_norm = step, float(step), first + step
        history.append(stand_in)
        longest = max(longest, len(history))
    return longest


def test_a_long_run_keeps_bounded_memory_step_zero_and_both_ends_true():
    layers, steps = 9, 200_000
    history = filled(0, layers)
    longest = append_many(history, steps, layers)
    kept = history.column("step")
    assert longest * (13 + 9 * layers) * 8 < 40 * 2**20  # about 32 MB of rows
    assert len(kept) > 10_000
    assert (np.diff(kept) > 0).all()
    assert kept[0] == 0
    np.testing.assert_array_equal(kept[-5000:], np.arange(steps - 5000, steps))  # the newest stretch is complete
    gaps = [gap for gap in np.diff(kept) if gap not in {2.0**k for k in range(12)}]
    assert len(gaps) < 12  # older ones every 2nd, 4th, 8th ... step, but where one stretch meets the next
    assert np.diff(kept).max() <= steps / 1000  # no stretch is lost
    np.testing.assert_array_equal(history.column("loss"), kept)  # every row left is the row of its step
    np.testing.assert_array_equal(history.column("grad_norm")[:, 0], kept + record(0, layers).grad_norm[0])
    assert history[-1].step == steps - 1


def test_thinning_drops_none_of_the_newest_steps():
    layers, step = 100, 0
    history, stand_in = filled(0, layers), SimpleNamespace(**vars(record(0, layers)))
    while not history.rewritten:
        stand_in.step = step
        history.append(stand_in)
        step += 1
    np.testing.assert_array_equal(history.column("step")[-500:], np.arange(step - 500, step))


def test_a_thinned_history_can_be_cut_and_continued():
    layers = 100
    history = filled(0, layers)
    append_many(history, 12_000, layers)
    assert len(history) < 12_000
    history.truncate(6_001)
    assert history.column("step")[-1] <= 6_000
    history.append(record(6_001, layers))
    assert history[-1].step == 6_001
    assert (np.diff(history.column("step")) > 0).all()


def test_truncating_drops_the_steps_their_marks_and_the_divergence():
    history = filled(6)
    for step in (1, 4):
        history.mark(Mark(step, "skipped", f"Skipped step {step}."))
        history.mark(Mark(step, "knob", "lr 0.1 -> 0.2"))
    history.diverged = Divergence(5, 2, "gradient", math.inf)
    history.truncate(6)
    assert history.diverged is not None
    history.truncate(4)
    assert [r.step for r in history] == [0, 1, 2, 3]
    assert history.diverged is None
    # the knob moved before step 4 is in force at step 4, where the run now stands; the skip has not happened
    assert [(m.step, m.kind) for m in history.marks] == [(1, "skipped"), (1, "knob"), (4, "knob")]


def test_moves_of_knobs_before_one_step_are_one_mark():
    history = filled(1)
    for i in range(1, 40):
        history.mark(Mark(3, "knob", f"lr {0.1 * (i - 1):.1f} -> {0.1 * i:.1f}"))
    history.mark(Mark(3, "knob", "clip none -> agc"))
    history.mark(Mark(4, "knob", "lr 3.9 -> 0.5"))
    assert [(m.step, m.text) for m in history.marks] == [(3, "lr 0.0 -> 3.9, clip none -> agc"), (4, "lr 3.9 -> 0.5")]


def test_a_knob_moved_there_and_back_leaves_no_mark():
    trainer = Trainer(Config(depth=1))
    trainer.step()
    trainer.reconfigure(lr=0.1)
    trainer.reconfigure(lr=0.05)
    assert trainer.history.marks == ()
    trainer.reconfigure(lr=0.2, clip="agc")
    trainer.reconfigure(lr=0.05)
    assert [m.text for m in trainer.history.marks] == ["clip none -> agc"]


def test_marks_are_bounded_and_the_newest_stay():
    history = filled(1)
    for step in range(5000):
        history.mark(Mark(step, "skipped", f"Skipped step {step}."))
    assert len(history.marks) == 2000
    assert history.marks[-1].step == 4999


def test_a_data_frame_has_a_row_a_step_and_a_column_a_layer():
    frame = filled(4, layers=3).to_frame()
    assert len(frame) == 4
    assert frame["step"].tolist() == [0, 1, 2, 3]
    assert frame["step"].dtype == "int64"
    assert frame["loss"].tolist() == [1.0, 1 / 2, 1 / 3, 1 / 4]
    expected = [step + 0.05 + 0.2 for step in range(4)]
    assert frame["delta_norm_3"].tolist() == pytest.approx(expected, rel=1e-15)
    assert [c for c in frame.columns if c.startswith("grad_norm_")] == ["grad_norm_1", "grad_norm_2", "grad_norm_3"]


def test_without_pandas_the_frame_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"needs pandas.*gradlab-jupyter\[frame\]"):
        filled(1).to_frame()


@pytest.mark.parametrize(
    ("divergence", "sentence"),
    [
        (Divergence(7, None, "loss", math.inf), "Diverged at step 7: the loss is infinite."),
        (
            Divergence(0, 1, "gradient", math.nan),
            "Diverged at step 0: the gradient of layer 1 is not a number (NaN).",
        ),
        (Divergence(2, 3, "weight", -math.inf, "layer 3"), "Diverged at step 2: the weight of layer 3 is infinite."),
        (
            Divergence(2, 3, "activation", math.inf, "lstm"),
            "Diverged at step 2: the activation of layer 3 (lstm) is infinite.",
        ),
    ],
)
def test_a_divergence_is_one_sentence(divergence, sentence):
    assert divergence.sentence == sentence
    history = filled(1)
    history.diverged = divergence
    assert repr(history) == f"History(1 step, 2 layers, {sentence})"


def test_the_repr_of_a_record_is_short_and_stable():
    assert repr(record(3)) == "StepRecord(step=3, loss=0.25, total_norm=3)"


def test_the_smallest_normal_number_follows_the_precision():
    for dtype in ("float32", "float64"):
        assert Trainer(Config(depth=1, dtype=dtype)).history.tiny == np.finfo(dtype).tiny


def test_a_row_and_the_end_of_a_column_are_parts_of_the_whole_column():
    history = Trainer(Config(depth=3, width=8)).run(12)
    for name in ("loss", "grad_norm"):
        whole = history.column(name)
        assert np.array_equal(history.column(name, 5), whole[5:])
        for index in (0, 7, -1, -12):
            assert np.array_equal(history.row(name, index), whole[index])
    with pytest.raises(IndexError, match="row 12; expected an index from -12 to 11"):
        history.row("loss", 12)


def test_a_history_says_that_rows_went_away():
    trainer = Trainer(Config(depth=3, width=8))
    trainer.run(12)
    before = trainer.history.rewritten
    trainer.run(3)
    assert trainer.history.rewritten == before
    trainer.rewind(4)
    assert trainer.history.rewritten > before


# ---------------------------------------------------------------------- files and kinds of rows
def test_a_saved_history_is_loaded_with_everything_it_said(tmp_path):
    history = Trainer(Config(depth=3, lr=1e4, weight_decay=0.0)).run(200)
    history.mark(Mark(2, "knob", "lr 0.05 -> 0.1"))
    history.save(tmp_path / "run")
    found = History.load(tmp_path / "run")
    assert history.diverged is not None
    assert [f.name for f in tmp_path.iterdir()] == ["run"]
    for name in ("step", "lr", *NUMBERS, *PER_LAYER):
        np.testing.assert_array_equal(found.column(name), history.column(name), err_msg=name)
    assert (found.layer_names, found.kinds, found.tiny) == (history.layer_names, history.kinds, history.tiny)
    assert repr(found.diverged) == repr(history.diverged)
    assert [(m.step, m.kind, m.text) for m in found.marks] == [(m.step, m.kind, m.text) for m in history.marks]
    assert found.marks[0].text.say("zh") == history.marks[0].text.say("zh")
    found.append(record(len(found), layers=4))
    assert found[-1].loss == record(len(history), layers=4).loss


def test_an_empty_history_is_saved_too(tmp_path):
    History(["a"]).save(str(tmp_path / "run"))
    assert len(History.load(str(tmp_path / "run"))) == 0


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04"])
def test_a_file_that_holds_no_history_is_refused(tmp_path, content):
    path = tmp_path / "run"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"expected a file written by History\.save"):
        History.load(path)


def test_the_rows_of_weights_alone_are_those_that_stand_first():
    history = History(["a", "b", "a.bias"], kinds=["weight", "weight", "bias"])
    history.append(record(0, layers=3))
    found = history.of_weights()
    assert found.layer_names == ("a", "b")
    for name in PER_LAYER:
        np.testing.assert_array_equal(found.column(name), history.column(name)[:, :2])
    assert filled(2).of_weights().kinds == ("weight", "weight")


def test_the_learning_rate_of_every_step_is_kept():
    trainer = Trainer(Config(depth=2, lr=0.05))
    trainer.run(2)
    trainer.reconfigure(lr=0.1)
    trainer.run(1)
    assert trainer.history.column("lr").tolist() == [0.05, 0.05, 0.1]
    assert math.isnan(record(0).lr)


# ---------------------------------------------------------------------- real networks' names
GPT = ["transformer.wte", *(f"transformer.h.{i}.{m}" for i in range(3) for m in ("attn.qkv", "attn.out", "mlp.fc"))]


def test_layers_are_named_by_themselves_by_their_module_and_by_their_block():
    layers, modules, blocks = groups_of([*GPT, "lm_head"])
    assert [g.label for g in layers[:3]] == ["wte", "h.0.attn.qkv", "h.0.attn.out"]
    assert [g.label for g in modules] == [
        "wte", "h.0.attn", "h.0.mlp", "h.1.attn", "h.1.mlp", "h.2.attn", "h.2.mlp", "lm_head",
    ]  # fmt: skip
    starts = [("wte", 0, 1), ("h.0", 1, 4), ("h.1", 4, 7), ("h.2", 7, 10), ("lm_head", 10, 11)]
    assert [tuple(g) for g in blocks] == starts
    built = groups_of(["embed", "block1.qkv", "block1.out", "block2.qkv", "readout"])
    assert [g.label for g in built[-1]] == ["embed", "block1", "block2", "readout"]


def test_names_that_are_numbers_make_no_groups_and_equal_blocks_of_two_parts_are_told_apart():
    assert groups_of(["layer 1", "layer 2"]) == groups_of(["0", "2", "4"]) == []
    twins = groups_of([f"{part}.layers.0.{m}" for part in ("encoder", "decoder") for m in ("a", "b")])
    assert [g.label for g in twins[-1]] == ["encoder.layers.0", "decoder.layers.0"]


def test_a_folded_history_adds_squares_and_keeps_what_is_not_finite():
    history = History(["h.0.a", "h.0.b", "h.1.a", "h.1.b"])
    there = np.array([1.0, 1, 1, 0])
    norms, signal = np.array([3.0, 4, 1, np.nan]), np.array([1.0, 2, np.inf, 5])
    history.append(
        record(0, 4, grad_norm=norms, delta_norm=signal, dead=np.array([0, 0.5, 0, 0]), has_gradient=there)
    )
    history.diverged = Divergence(0, 3, "gradient", math.inf, "h.1.a")
    blocks = Blocks(history)
    folded = blocks.folded
    assert folded.layer_names == ("h.0", "h.1")
    assert folded.column("grad_norm")[0].tolist() == [5.0, 1.0]
    assert folded.column("delta_norm")[0].tolist() == [1.0, math.inf]
    assert folded.column("dead")[0].tolist() == [0.5, 0.0]
    assert (folded.diverged.layer, folded.diverged.layer_name) == (2, "h.1")
    history.append(record(1, 4, grad_norm=np.zeros(4)))
    assert blocks.update() is folded
    assert folded.column("grad_norm")[1].tolist() == [0.0, 0.0]


def test_a_notebook_shows_a_history_as_a_table_of_a_dozen_rows():
    history = History([f"<h>.{i}" for i in range(40)])
    assert "0 steps" in history._repr_html_()
    history.append(record(0, 40))
    said = history._repr_html_()
    assert said.count("<tr>") == 13
    assert "&lt;h&gt;.39" in said


def test_a_save_that_is_cut_short_leaves_the_file_before_it_whole(tmp_path, monkeypatch):
    history = Trainer(Config(depth=2, n_samples=32)).run(3)
    history.save(tmp_path / "run")

    def cut(file, **arrays):
        file.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "savez_compressed", cut)
    with pytest.raises(OSError, match="No space"):
        history.save(tmp_path / "run")
    assert len(History.load(tmp_path / "run")) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
