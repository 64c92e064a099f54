"""No string is missing in any language, and no English is left in the Chinese panel."""

import ast
import copy
import html
import json
import pickle
import re
import string
from pathlib import Path

import ipywidgets as widgets
import pytest
import torch

import gradlab
from gradlab import Config, GradLab, Trainer
from gradlab.compare import compare, differences, who_is_ahead
from gradlab.locale import NAMED, STRINGS, Said, Text
from gradlab.plots.fonts import can_draw
from gradlab.rules.optimizers import OPTIMIZERS
from gradlab.theory import predict

PACKAGE = Path(gradlab.__file__).parent
NAMES = {key for key in STRINGS["zh"] if key.startswith(NAMED)}
REGISTRIES = (
    *(gradlab.DATASETS, gradlab.ACTIVATIONS, gradlab.INITS, gradlab.NORMS, OPTIMIZERS, gradlab.ACCUMULATIONS),
    *(gradlab.CARRY_OVERS, gradlab.CLIPS, gradlab.ARCHITECTURES, gradlab.PLOTS, gradlab.PRESETS),
)
CHINESE = re.compile(r"[\u4e00-\u9fff]")
WORD = re.compile(r"[A-Za-z][A-Za-z_]+")
SAME_EVERYWHERE = {
    *(
        "ReLU",
        "MLP",
        "LN",
        "W_hh",
        "Transformer",
        "RNN",
        "LSTM",
        "GRU",
        "Leaky",
        "tanh",
        "Sigmoid",
        "sigmoid",
        "GELU",
        "SELU",
        "SiLU",
        "swish",
        "SGD",
        "Adam",
        "AdamW",
        "RMSprop",
    ),
    *("AGC", "RMS", "XOR", "Kaiming", "Xavier", "PyTorch", "Config", "CumulativeGradient", "fan_in", "logits"),
    *("dL", "dz", "dW", "dh", "NaN", "nan", "inf", "Alt", "chi", "phi"),
    *("float", "bfloat", "dynamic", "True", "False", "torch", "from_json", "JSON", "CSV", "PNG", "SVG", "HTML", "kB"),
    *("fonts", "noto", "cjk"),  # what to install, said where no Chinese font is
}
"""Names and symbols that a Chinese text has too."""


def placeholders(template):
    return {(name, form) for _, name, form, _ in string.Formatter().parse(template) if name}


def entry_of(table, name):
    return table.entry(name) if table is gradlab.PRESETS else table[name]


def own_entries():
    """(kind, name) of every entry that gradlab itself registers; other tests register theirs."""
    for table in REGISTRIES:
        for name in table:
            if entry_of(table, name).function.__module__.startswith("gradlab."):
                yield table.kind, name


# ---------------------------------------------------------------------- nothing is missing
def test_every_language_has_every_string_with_the_same_placeholders():
    english, chinese = STRINGS["en"], STRINGS["zh"]
    assert sorted(chinese.keys() - NAMES) == sorted(english)
    for key, text in english.items():
        assert placeholders(chinese[key]) == placeholders(text), key


def test_what_has_words_in_english_is_chinese_in_the_chinese_table():
    for key, text in STRINGS["en"].items():
        words = set(WORD.findall(re.sub(r"\{.*?\}", "", text))) - SAME_EVERYWHERE
        assert not words or CHINESE.search(STRINGS["zh"][key]), key


@pytest.mark.parametrize("lang", STRINGS)
def test_a_catalogue_has_one_key_a_line_in_their_order_and_none_twice(lang):
    written = (PACKAGE / "locale" / f"{lang}.json").read_text(encoding="utf-8")
    keys = [key for key, _ in json.loads(written, object_pairs_hook=list)]
    assert keys == sorted(set(keys))
    assert written == json.dumps(STRINGS[lang], ensure_ascii=False, indent=1) + "\n"


def keys_in(source):
    """What a module's strings say whole, and a pattern for each that it puts together: ``f"kind.{name}"``."""
    whole, made = set(), set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            whole.add(node.value)
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else None for part in node.values]
            made.add("".join(".+" if part is None else re.escape(part) for part in parts))
    return whole, {pattern for pattern in made if re.match(r"(\.\+\\\.)?[\w-]+(\\\.|_)", pattern)}


def test_every_key_is_used_and_every_key_asked_for_is_there():
    sources = {path: path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}
    whole, made = (set().union(*found) for found in zip(*map(keys_in, sources.values()), strict=True))
    for path in (*PACKAGE.rglob("*.js"), *PACKAGE.rglob("*.html")):
        script = path.read_text(encoding="utf-8")
        whole |= {word.removeprefix("word.") for word in re.findall(r"[\w.-]+", script)}
        made |= {f"{re.escape(start)}.+" for start in re.findall(r"`(\w+\.\w+)\$\{", script)}
    unused = []
    for key in STRINGS["en"]:
        names = {key, key.removeprefix("exercise."), key.removeprefix("replay.")}
        if not names & whole and not any(re.fullmatch(pattern, name) for pattern in made for name in names):
            unused.append(key)
    assert unused == []
    asked = {key for source in sources.values() for key in re.findall(r"\b(?:text|Said)\(\s*\"([^\"]+)\"", source)}
    assert len(asked) > 100
    assert sorted(asked - STRINGS["en"].keys()) == []


def test_every_knob_choice_and_entry_of_gradlab_itself_has_its_chinese_and_nothing_else_has():
    wanted = {f"{what}.{kind}.{name}" for kind, name in own_entries() for what in ("label", "summary")}
    wanted |= {f"title.preset.{name}" for name in gradlab.PRESETS}
    for name, knob in Config.knobs().items():
        wanted |= {f"knob.{name}.label", f"knob.{name}.help"}
        if isinstance(knob.choices, tuple):
            wanted |= {f"choice.{name}.{value}" for value in knob.choices}
    assert wanted == NAMES


def test_the_tip_of_a_knob_names_its_field_as_code_does():
    for name in Config.knobs():
        assert STRINGS["zh"][f"knob.{name}.help"].endswith(f"（{name}）")


def test_an_unknown_language_is_refused_with_the_list_of_those_there_are():
    for lang in ("fr", "ZH", None, ["zh"]):
        with pytest.raises(ValueError, match=r"lang=.*; expected one of en, zh"):
            GradLab(lang=lang)


# ---------------------------------------------------------------------- what is said where no reader is known
def test_a_said_sentence_is_plain_english_for_code_and_chinese_on_request():
    said = Said("record.skipped", step=3, sentence=Said("record.diverged_loss", step=3, what=Said("record.nan")))
    assert said == "Skipped step 3. Diverged at step 3: the loss is not a number (NaN)."
    assert said.say("zh") == "第 3 步被跳过。第 3 步发散：损失是非数（NaN）。"
    assert said.say("en") == said


def test_a_said_sentence_survives_copying_and_pickling():
    said = Said("theory.none", why=Said("silence.no_layer"))
    for twin in (copy.copy(said), copy.deepcopy(said), pickle.loads(pickle.dumps(said))):
        assert (twin, twin.say("zh")) == (said, said.say("zh"))


def test_an_exception_is_said_in_the_language_of_the_reader_where_its_message_has_one():
    with pytest.raises(ValueError, match="batch_size >= 2") as caught:
        Config(norm="batch", batch_size=1)
    assert Text("zh").say(caught.value) == "batch_size=1 而 norm='batch'：它要对样本求平均，batch_size 至少为 2"
    plain = ValueError("as it is")
    assert Text("zh").say(plain) is plain


def test_divergences_and_marks_are_said_in_chinese():
    trainer = Trainer(Config(depth=3, width=8, lr=1e12))
    trainer.run(9)
    diverged = trainer.history.diverged
    said = diverged.sentence.say("zh")
    assert said.startswith(f"第 {diverged.step} 步发散：第 {diverged.layer} 层")
    assert trainer.history.marks[-1].text.say("zh") == said


@pytest.mark.parametrize(
    "config",
    [
        Config(depth=30, activation="tanh", init="normal", gain=2.0),
        Config(depth=12, activation="sigmoid", init="normal"),
        Config(init="kaiming"),
        Config(depth=0),
        Config(width=2),
        Config(init="zeros"),
        Config(init="constant"),
        Config(norm="batch", batch_size=8),
        Config(norm="batch"),
        Config(dataset="article_literal"),
    ],
    ids=repr,
)
def test_theory_is_said_in_chinese(config):
    prediction = predict(config)
    assert_chinese(prediction.sentence.say("zh"))
    if prediction.reason:
        assert_chinese(prediction.reason.say("zh"))


def test_differences_and_who_is_ahead_are_said_in_chinese():
    lanes = {"甲": Config(depth=2, width=8), "乙": Config(depth=2, width=8, lr=0.5, clip="value", residual=True)}
    assert differences(lanes, "zh") == (
        "残差：甲 关，乙 开。学习率：甲 0.05，乙 0.5。梯度裁剪：甲 关，乙 按值。初始权重相同，批次相同。"
    )
    assert differences({"甲": Config(), "乙": Config()}, lang="zh") == "各组完全相同：所有旋钮都一样。"
    said = who_is_ahead(compare(lanes, 30), "zh")
    assert_chinese(said)
    assert "最近 10 步的平均损失" in said
    with pytest.raises(ValueError, match="lang='fr'"):
        who_is_ahead(compare(lanes, 1), "fr")


# ---------------------------------------------------------------------- the panel
def names_in_code():
    """Every name that code has for something: fields, entries and values."""
    found = set(SAME_EVERYWHERE)
    for name, knob in Config.knobs().items():
        found |= {name, *(knob.choices or ())}
    return found | {name for _, name in own_entries()}


def assert_chinese(text, where=""):
    """Only names and symbols may be in Latin letters."""
    words = [word for word in WORD.findall(text) if word not in names_in_code()]
    assert not words, f"{where}: {words} in {text!r}"


def widgets_in(widget):
    """A widget and all in it, but for lines of PyTorch, which are code in every language."""
    if "gradlab-code" in getattr(widget, "_dom_classes", ()):
        return
    yield widget
    for child in getattr(widget, "children", ()):
        yield from widgets_in(child)


def texts_of(widget):
    """(which, text) of everything of a widget that a person sees or hears."""
    for which in ("description", "tooltip", "placeholder"):
        yield which, getattr(widget, which, None) or ""
    yield from (("title", title) for title in getattr(widget, "titles", ()) or ())
    if isinstance(widget, widgets.Dropdown | widgets.SelectionSlider | widgets.ToggleButtons | widgets.Select):
        yield from (("option", str(label)) for label, _ in widget.options)
    if isinstance(widget, widgets.HTML | widgets.Label):
        said = re.sub(r"<style>.*?</style>|<code>.*?</code>", "", widget.value, flags=re.DOTALL)
        yield from (("aria-label", html.unescape(label)) for label in re.findall(r'aria-label="(.*?)"', said))
        yield "text", html.unescape(re.sub(r"<.*?>", " ", said))


def labels_of_others():
    """What entries that are not gradlab's own, such as other tests', call themselves in every language."""
    own = set(own_entries())
    return {entry_of(table, name).label for table in REGISTRIES for name in table if (table.kind, name) not in own}


def assert_panel_is_chinese(lab):
    others = labels_of_others()
    for widget in widgets_in(lab):
        for which, text in texts_of(widget):
            if which != "option" or text not in others:
                assert_chinese(text, f"{type(widget).__name__}.{which}")


@pytest.fixture
def chinese_panel():
    made = []

    def make(**arguments):
        made.append(GradLab(lang="zh", **arguments))
        return made[-1]

    yield make
    for lab in made:
        lab.close()


def test_no_english_is_left_in_a_chinese_panel(chinese_panel):
    lab = chinese_panel(depth=3, width=8)
    for widget in list(widgets_in(lab)):
        if isinstance(widget, widgets.ToggleButton):
            widget.value = not widget.value  # opens every section
            assert_panel_is_chinese(lab)
    lab.run(12)
    assert_panel_is_chinese(lab)
    lab.set(clip="value", accumulation="mean", lr=0.1)
    lab.step()
    assert_panel_is_chinese(lab)
    for text in (lab.status, *lab.insight, *lab.insight.values()):
        assert CHINESE.search(text) or not text


@pytest.mark.parametrize("mode", [{"predict": True}, {"lecture": True}], ids=str)
def test_no_english_is_left_in_a_mode_of_the_panel(chinese_panel, mode):
    lab = chinese_panel(depth=4, width=8, **mode)
    assert_panel_is_chinese(lab)
    if "lecture" in mode:
        lab.run(3)
        assert_panel_is_chinese(lab)


def test_no_english_is_left_while_two_lanes_are_compared(chinese_panel):
    lab = chinese_panel(depth=3, width=8)
    lab.run(3)
    lab.pin()
    lab.compare(lr=0.5, activation="tanh", init="normal")
    assert_panel_is_chinese(lab)
    lab.run(12)
    assert_panel_is_chinese(lab)


def test_what_goes_wrong_is_said_in_chinese(chinese_panel):
    lab = chinese_panel(depth=3, width=8, lr=1e12, nonfinite="skip")
    lab.run(4)
    assert lab.alert.startswith("第 3 步被跳过。")
    lab.set(nonfinite="stop")
    lab.run(4)
    assert lab.alert.endswith("这一步没有执行，训练已暂停。")
    assert_panel_is_chinese(lab)
    with pytest.raises(ValueError, match="batch_size >= 2"):
        lab.set(norm="batch", batch_size=1)
    assert lab.alert.startswith("未被接受，什么都没有改变：batch_size=1 而 norm='batch'")
    assert_panel_is_chinese(lab)


def test_a_preset_that_cannot_be_trained_says_why_in_chinese(chinese_panel):
    lab = chinese_panel(preset="article_literal")
    assert "标签 3 不在 [0, 1) 之内" in lab.alert
    assert_panel_is_chinese(lab)


def test_an_entry_of_ones_own_keeps_its_own_label_in_every_language(chinese_panel):
    @gradlab.ACTIVATIONS.register("strings_test_softsign", "Softsign (mine)")
    def softsign():
        """A softer tanh: z over one plus its size."""
        return torch.nn.Softsign()

    lab = chinese_panel(depth=2, width=8)
    menus = [w for w in widgets_in(lab) if isinstance(w, widgets.Dropdown) and w.description == "激活函数"]
    assert ("Softsign (mine)", "strings_test_softsign") in menus[0].options
    assert ("线性（无）", "linear") in menus[0].options


def test_an_english_panel_shows_the_labels_that_were_registered():
    lab = GradLab(depth=2, width=8)
    next(w for w in widgets_in(lab) if getattr(w, "description", "") == "More").value = True
    by_label = {w.description: w for w in widgets_in(lab) if getattr(w, "description", "")}
    assert by_label["Clip order"].options == (("after", "after"), ("each micro batch", "each_micro_batch"))
    assert by_label["Norm"].options[0] == ("None", "none")
    assert by_label["Depth"].tooltip == "Hidden layers; one weight matrix more than that"
    lab.close()


def test_a_panel_whose_pictures_cannot_be_chinese_says_what_to_install(chinese_panel, monkeypatch):
    monkeypatch.setattr("gradlab.panel.description.can_draw", lambda lang: False)
    lab = chinese_panel(depth=2, width=8)
    said = " ".join(lab.said.values())
    assert "没有装中文字体" in said
    assert "fonts-noto-cjk" in said


def test_a_panel_whose_pictures_are_chinese_says_nothing_of_fonts(chinese_panel):
    said = " ".join(chinese_panel(depth=2, width=8).said.values())
    assert ("中文字体" in said) == (not can_draw("zh"))
