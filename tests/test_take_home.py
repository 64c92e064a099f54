"""What a student takes home: the call, the table and the replay."""

import base64
import csv
import html.parser
import json
import math

import numpy as np
import pytest

from gradlab import Config, History, Mark, StepRecord, Trainer
from gradlab.export import history_to_csv, to_call
from gradlab.history import PER_LAYER, SCALARS
from gradlab.locale import STRINGS
from gradlab.stage import replay_html


def record(step, loss=1.0, layers=2, **changed):
    values = dict.fromkeys(SCALARS, 1.0) | {"step": step, "epoch": 0, "samples": 4, "micro_batches": 1, "updates": 1}
    arrays = {name: np.arange(1.0, layers + 1) for name in PER_LAYER}
    return StepRecord(**(values | arrays | {"loss": loss, "applied": True} | changed))


def history_of(*records, marks=()):
    made = History([f"layer {i + 1}" for i in range(len(records[0].grad_norm))] if records else ["layer 1"])
    for each in records:
        made.append(each)
    for mark in marks:
        made.mark(mark)
    return made


# ---------------------------------------------------------------------- the call
def test_the_call_is_one_line_that_gives_the_config_back():
    config = Config(depth=30, activation="tanh", gain=0.1 + 0.2, residual=True, weight_seed=7)
    call = to_call(config)
    assert "\n" not in call
    assert eval(call, {"GradLab": Config}) == config  # the panel takes the fields of a Config as keywords


def test_the_call_of_the_defaults_is_empty_and_no_config_is_refused():
    assert to_call(Config()) == "GradLab()"
    with pytest.raises(ValueError, match="config='relu'; expected a Config"):
        to_call("relu")


# ---------------------------------------------------------------------- the table
def rows_of(history, path):
    history_to_csv(history, path)
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_gives_every_number_back_to_the_last_digit(tmp_path):
    history = Trainer(Config(depth=2, width=4, n_samples=20)).run(5)
    rows = rows_of(history, tmp_path / "run.csv")
    assert len(rows) == 5
    for name in SCALARS:
        assert [float(row[name]) for row in rows] == history.column(name).tolist()
    for name in PER_LAYER:
        read = [[float(row[f"{name}_{layer}"]) for layer in (1, 2, 3)] for row in rows]
        assert read == history.column(name).tolist()
    assert set(rows[0]) == {*SCALARS, *(f"{n}_{i}" for n in PER_LAYER for i in (1, 2, 3)), "marks"}


def test_the_table_has_the_columns_of_the_frame_and_the_marks(tmp_path):
    history = Trainer(Config(depth=1, width=4, n_samples=20)).run(1)
    (row,) = rows_of(history, tmp_path / "run.csv")
    assert list(row) == [*history.to_frame().columns, "marks"]


def test_what_is_not_finite_is_written_as_a_word(tmp_path):
    bad = record(0, loss=math.inf, grad_norm=np.array([math.nan, -math.inf]))
    (row,) = rows_of(history_of(bad), tmp_path / "run.csv")
    assert (row["loss"], row["grad_norm_1"], row["grad_norm_2"]) == ("inf", "nan", "-inf")
    assert (row["step"], row["applied"], row["samples"]) == ("0", "1", "4")


def test_marks_stand_at_their_step_or_at_the_next_one_kept(tmp_path):
    marks = [
        Mark(1, "knob", "lr 0.1 -> 0.2, clip none -> value"),
        Mark(4, "skipped", 'Skipped step 4; "why"'),
        Mark(6, "knob", "lr 0.2 -> 0.3"),
        Mark(9, "knob", "lr 0.3 -> 0.4"),
    ]
    history = history_of(record(0), record(1), record(4), record(8), marks=marks)
    assert [row["marks"] for row in rows_of(history, tmp_path / "run.csv")] == [
        "",
        "knob: lr 0.1 -> 0.2, clip none -> value",
        'skipped: Skipped step 4; "why"',
        "step 6: knob: lr 0.2 -> 0.3; step 9: knob: lr 0.3 -> 0.4",
    ]


def test_the_table_of_no_steps_is_its_heading(tmp_path):
    assert rows_of(history_of(marks=[Mark(0, "knob", "lr 1 -> 2")]), tmp_path / "run.csv") == []


# ---------------------------------------------------------------------- the replay
class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found, self.links, self._open = {}, [], ""
        self.feed(text)
        self.run = json.loads(self.found["script#data"])

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self._open = f"{tag}#{given['id']}" if "id" in given else tag
        self.links += [value for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag):
        self._open = ""

    def handle_data(self, data):
        self.found[self._open] = self.found.get(self._open, "") + data

    def frames(self, measure="both"):
        """Return the arrays of every frame, by name."""
        return [arrays(*packet) for packet in self.run["records"][measure]]


def arrays(head, text):
    """Cut the arrays of the run out of a packet."""
    data, place, found = base64.b64decode(text), 0, {}
    for lane, name, kind, count in head["parts"]:
        dtype = np.dtype(("<f4", "<i2", "u1")[kind])
        if lane == 0:
            found[name] = np.frombuffer(data, dtype, count, place)
        place += count * dtype.itemsize
    return found


def test_the_replay_holds_the_numbers_of_every_layer_as_logarithms():
    values = np.array([1e-40, 0.0, math.inf, math.nan, 250.0, math.nan])
    has_gradient = np.array([1.0, 1, 1, 0, 1, 1])
    history = history_of(record(0, layers=6), record(1, layers=6, grad_norm=values, has_gradient=has_gradient))
    page = Page(replay_html(history))
    read = page.frames()[1]["second"]
    assert read[0] == pytest.approx(-40, abs=1e-5)  # float32 keeps seven digits
    assert read[1] == -math.inf  # exactly zero
    assert read[2] == math.inf
    assert math.isnan(read[3])  # no gradient at all
    assert read[4] == pytest.approx(math.log10(250), abs=1e-6)
    assert read[5] == math.inf  # NaN although there was a gradient: not finite
    assert page.run["records"]["both"][0][0]["tiny"] == pytest.approx([math.log10(2.0**-126)])


def test_the_replay_of_a_long_run_takes_even_frames_and_keeps_the_spikes_of_the_loss():
    losses = np.ones(20_001)
    losses[7_777], losses[13_131] = 1e6, math.nan
    history = history_of(*(record(i, loss) for i, loss in enumerate(losses)))
    kept = history.column("step")  # a long history is thinned
    frames = Page(replay_html(history, frames=11)).frames()
    shown = [frame["step"][-1] for frame in frames]
    assert len(shown) == 11
    assert (shown[0], shown[-1]) == (0, 20_000)
    assert np.ptp(np.diff(np.searchsorted(kept, shown))) <= 1  # evenly spaced, but for rounding
    if 7_777 in kept:
        assert max(np.nanmax(frame["high"]) for frame in frames) == pytest.approx(6)
    if 13_131 in kept:
        assert any((frame["odd"] & 2).any() for frame in frames)


def test_a_spike_between_two_frames_stays_in_the_curve():
    losses = np.ones(5_000)
    losses[1_234], losses[4_321] = 1e6, math.nan
    frames = Page(replay_html(history_of(*(record(i, loss) for i, loss in enumerate(losses))))).frames()
    assert max(np.nanmax(frame["high"]) for frame in frames) == pytest.approx(6)
    assert any((frame["odd"] & 2).any() for frame in frames)


def test_300_frames_at_depth_100_stay_under_five_megabytes():
    rng = np.random.default_rng(0)
    shape = 101
    history = history_of(
        *(
            record(i, rng.random(), shape, **{n: rng.random(shape) for n in PER_LAYER}, clip_coef=0.5)
            for i in range(300)
        )
    )
    page = replay_html(history, config=Config(depth=100))
    assert len(Page(page).frames()[1]["after"]) > 0  # clipping is shown, the largest case
    assert len(page.encode()) < 5e6


def test_the_replay_is_one_file_and_asks_the_network_for_nothing(tmp_path):
    history = Trainer(Config(depth=1, width=4)).run(3)
    text = replay_html(history, tmp_path / "run.html")
    assert (tmp_path / "run.html").read_text(encoding="utf-8") == text
    page = Page(text)
    assert page.links == []
    assert "default-src 'none'" in text  # the browser itself refuses what is not in the page
    assert "http:" not in text
    assert "https:" not in text


def test_hostile_text_stays_text():
    evil = "</script><script>alert('{{data}}')</script><!-- &amp; <b>\u2028"
    history = history_of(record(0), marks=[Mark(0, "knob", evil)])
    text = replay_html(history, title=evil)
    page = Page(text)
    assert text.count("</script>") == 2  # the numbers' and the program's
    assert page.found["h1"] == evil
    assert page.run["records"]["both"][0][0]["lanes"][0]["marks"] == [[0, "knob", evil]]


def test_the_title_and_the_config_stand_in_the_page():
    history = history_of(record(0))
    page = Page(replay_html(history, config=Config(depth=3, activation="tanh"), title="Monday"))
    assert page.found["h1"] == page.found["title"] == "Monday"
    assert page.found["code#config"] == "GradLab(depth=3, activation='tanh')"


@pytest.mark.parametrize(("frames", "steps"), [(0, 1), (-1, 1), (2.5, 1), (True, 1), (10, 0)])
def test_a_replay_of_nothing_is_refused(frames, steps):
    with pytest.raises(ValueError, match=f"frames={frames}.*expected"):
        replay_html(history_of(*(record(i) for i in range(steps))), frames=frames)


def test_a_replay_of_one_frame_shows_the_last_step():
    (frame,) = Page(replay_html(history_of(record(0), record(1)), frames=1)).frames()
    assert frame["step"].tolist() == [0, 1]  # and the first, which it is compared with


def test_the_replay_speaks_every_language_of_the_lab():
    for lang in STRINGS:
        page = Page(replay_html(history_of(record(0)), lang=lang))
        assert page.run["look"]["lang"] == lang
        assert page.run["look"]["words"]["button.play"] == STRINGS[lang]["button.play"]
    with pytest.raises(ValueError, match="lang='xx'"):
        replay_html(history_of(record(0)), lang="xx")
