"""`PRESETS`: ready-made configs, each with a one-line lesson."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gradlab.config import Config
from gradlab.registry import Registry

PRESETS: Registry[Config] = Registry(
    "preset", "", made=True, gives="a Config", fits=lambda made, *_: isinstance(made, Config)
)
"""``[name]`` is a `Config`; `Registry.entry` gives label, summary (the lesson) and options.

The options: ``group``, where it stands in the lesson bar (start, explode, vanish, cure ...); ``failure``, for a cure
or what is none, the preset beside which it opens; ``title``, a name that gives no answer away, for a class that
predicts first.
"""


def _preset(label: str, group: str, title: str, failure: str = "") -> Callable[[Callable[[], Config]], Any]:
    """Register one of gradlab's own, under its function's name."""
    beside = {"failure": failure} if failure else {}
    return lambda made: PRESETS.register(made.__name__, label, group=group, title=title, **beside)(made)


@_preset("A healthy network", "start", "8 ReLU layers")
def healthy() -> Config:
    """Eight ReLU layers at Kaiming init learn two moons in a few dozen steps."""
    return Config()


@_preset("Exploding: tanh, gain 3", "explode", "50 tanh layers")
def exploding_tanh() -> Config:
    """Fifty tanh layers at gain 3: the gradient grows a millionfold toward the input, one update ruins it."""
    return Config(depth=50, width=64, activation="tanh", init="normal", gain=3.0, lr=0.02)


@_preset("Exploding: ReLU, gain 1.5", "explode", "20 ReLU layers, gain 1.5")
def exploding_relu() -> Config:
    """Twenty ReLU layers, weights half as large again: the signal grows 1.5-fold per layer and soon overflows."""
    return Config(depth=20, width=64, gain=1.5, batch_size=64, lr=0.02)


@_preset("Vanishing: deep sigmoid", "vanish", "12 sigmoid layers")
def vanishing_sigmoid() -> Config:
    """Twelve sigmoid layers: the gradient shrinks about fourfold with every layer toward the input."""
    return Config(depth=12, activation="sigmoid", init="normal")


@_preset("Vanishing: ReLU, PyTorch's default", "vanish", "20 ReLU layers, init A")
def relu_pytorch_default() -> Config:
    """Twenty ReLU layers at PyTorch's default weights: each passes on about 0.4 of the gradient, none learns."""
    return Config(depth=20, init="pytorch")


@_preset("Cured: Kaiming init", "cure", "20 ReLU layers, init B", "relu_pytorch_default")
def kaiming() -> Config:
    """The same twenty ReLU layers at Kaiming init: the gradient stays level, and the network learns."""
    return relu_pytorch_default().replace(init="kaiming")


@_preset("Vanishing: weights N(0, 0.01²)", "vanish", "10 tanh layers")
def tiny_init() -> Config:
    """Ten tanh layers with weights N(0, 0.01²): signal and gradient shrink twelvefold with every layer."""
    return Config(depth=10, width=64, activation="tanh", init="fixed", gain=0.01)


@_preset("Dead ReLUs", "vanish", "12 ReLU layers, Adam")
def dead_relus() -> Config:
    """Adam at a learning rate of 0.3 kills a whole layer of ReLUs; no gradient passes it, so none revives it."""
    return Config(depth=12, optimizer="adam", lr=0.3)


@_preset("Learning rate past 2/sharpness", "explode", "3 ReLU layers, regression")
def lr_past_sharpness() -> Config:
    """The gradient is level, but the step is past 2/sharpness: the loss on all the data climbs and overflows."""
    return Config(dataset="regression", depth=3, batch_size=512, lr=0.3)


@_preset("Cured: clipping rescues an explosion", "cure", "20 ReLU layers, clipped", "exploding_relu")
def clipping_rescues() -> Config:
    """The net that overflows at once learns with its gradient cut to 100; at step 0 the signal explodes as before."""
    return exploding_relu().replace(clip="global_norm", clip_threshold=100.0)


@_preset("Not cured: clipping a vanishing gradient", "cure", "12 sigmoid layers, clipped", "vanishing_sigmoid")
def clipping_cannot_cure_vanishing() -> Config:
    """Clipping only shortens a gradient: the deep sigmoid's falls off as before, and nothing is learned."""
    return vanishing_sigmoid().replace(clip="global_norm", clip_threshold=0.1)


@_preset("Not cured: the mean of micro-batches", "accumulate", "20 ReLU layers, four micro-batches", "exploding_relu")
def micro_batch_mean() -> Config:
    """The mean of four micro-batches of 16 is the gradient of one batch of 64, and overflows like it."""
    return exploding_relu().replace(batch_size=16, accumulation="mean", accumulation_steps=4)


@_preset("Exploding: the forgotten division", "accumulate", "8 ReLU layers, sixteen micro-batches")
def forgotten_division() -> Config:
    """Sixteen micro-batches added and not divided: a step sixteen times as long, which the network cannot take."""
    return Config(lr=0.1, accumulation="sum", accumulation_steps=16)


@_preset("Wrong: clipping every micro-batch", "accumulate", "8 ReLU layers, clipped micro-batches")
def clip_every_micro_batch() -> Config:
    """Clipped after each micro-batch, the sum forgets: in slow motion the last of eight outweighs the other seven."""
    return Config(
        accumulation="mean",
        accumulation_steps=8,
        clip="global_norm",
        clip_threshold=0.1,
        clip_order="each_micro_batch",
    )


@_preset("Exploding: batch norm", "explode", "50 layers, batch norm")
def batch_norm_explodes() -> Config:
    """Batch norm keeps every signal level, yet over fifty layers the gradient grows ten thousandfold, at any gain."""
    return Config(depth=50, width=64, norm="batch", batch_size=128)


@_preset("Exploding: residual", "explode", "30 residual layers")
def residual_explodes() -> Config:
    """Thirty residual layers without a norm: every block doubles the squared signal, and the first step overflows."""
    return Config(depth=30, width=64, residual=True, lr=0.01)


@_preset("Cured: residual blocks with layer norm", "cure", "30 residual layers, layer norm", "residual_explodes")
def residual() -> Config:
    """Thirty residual layers with a layer norm: the gradient grows like the root of the depth, and it learns."""
    return residual_explodes().replace(norm="layer")


@_preset("The article", "article", "The article's network")
def article() -> Config:
    """The article's network, made well-posed by four logits: its running sum of gradients drives the loss up."""
    return Config(
        dataset="article",
        depth=1,
        width=64,
        init="xavier_uniform",
        optimizer="adam",
        lr=0.1,
        carry_over="running_sum",
    )


@_preset("The article, as printed", "article", "The article's network, as printed")
def article_literal() -> Config:
    """One sigmoid output under a four-class loss: it cannot be trained, and the status line says why."""
    return article().replace(dataset="article_literal")


# ---------------------------------------------------------------------- through time
def _latch(**knobs: Any) -> Config:
    """A recurrent network that is to remember its first input."""
    latch = {"dataset": "latch", "architecture": "rnn", "depth": 1, "activation": "tanh", "init": "normal"}
    return Config(**{**latch, "sequence_length": 30, **knobs})


@_preset("Time: RNN, vanishing", "time", "RNN, recurrent gain 0.5")
def rnn_vanishing() -> Config:
    """Weights of half an orthogonal matrix: ten decades are lost over 30 steps, the first input is not heard."""
    return _latch(recurrent_gain=0.5, lr=0.1)


@_preset("Time: RNN, orthogonal", "time", "RNN, recurrent gain 1", "rnn_vanishing")
def rnn_orthogonal() -> Config:
    """The same with an orthogonal W_hh: three decades are lost, Adam makes up for them, and most seeds remember."""
    return _latch(optimizer="adam", lr=0.005)


@_preset("Time: RNN, exploding", "time", "RNN, recurrent gain 2")
def rnn_exploding() -> Config:
    """Twice an orthogonal matrix over 60 time steps: the signal grows a thousandfold, and no seed learns."""
    return _latch(recurrent_gain=2.0, sequence_length=60, lr=0.5)


@_preset("Time: RNN, exploding and clipped", "time", "RNN, recurrent gain 2, clipped", "rnn_exploding")
def rnn_clipped() -> Config:
    """The same, clipped at norm 1, what clipping was invented for (Pascanu 2013): most seeds learn, none without."""
    return rnn_exploding().replace(clip="global_norm")


@_preset("Time: LSTM, forget bias 0", "time", "LSTM, forget bias 0")
def lstm_forget_0() -> Config:
    """A forget gate half open, torch's default: half of the cell is lost at every step, and nothing is learned."""
    knobs = {"architecture": "lstm", "optimizer": "adam", "lr": 0.005, "init": "pytorch", "forget_bias": 0.0}
    return _latch(**knobs, n_samples=6400)  # of few samples, seen again and again, the noise is learned by heart


@_preset("Time: LSTM, forget bias 1", "time", "LSTM, forget bias 1", "lstm_forget_0")
def lstm_forget_1() -> Config:
    """The same with 1 added to the forget gate's bias: the signal arrives, and it learns (Jozefowicz 2015)."""
    return lstm_forget_0().replace(forget_bias=1.0)


@_preset("Time: truncated too short", "time", "RNN, 5 of 30 steps back")
def truncated_too_short() -> Config:
    """The orthogonal network, its gradient sent back 5 of 30 time steps: exactly 0 reaches the first, none learns."""
    return rnn_orthogonal().replace(truncate=5)


@_preset("Time: truncated, long enough", "time", "RNN, 30 of 30 steps back", "truncated_too_short")
def truncated_long_enough() -> Config:
    """The same with a window as long as the sequence: a thousandth of the signal arrives, most seeds remember."""
    return truncated_too_short().replace(truncate=30)


# ---------------------------------------------------------------------- through attention
@_preset("Attention: post-LN", "attention", "12 transformer blocks, norm A")
def post_ln() -> Config:
    """Twelve blocks, each normed after its sum: at Adam's 0.005 from the first step on, no seed of eight learns."""
    small = {"width": 16, "heads": 2, "dataset": "latch", "sequence_length": 8}
    return Config(
        architecture="transformer", norm_position="post", depth=12, init="xavier", optimizer="adam", lr=0.005, **small
    )


@_preset("Attention: pre-LN", "attention", "12 transformer blocks, norm B", "post_ln")
def pre_ln() -> Config:
    """The same, each branch normed before it: the sum goes through untouched, and all seeds learn (Xiong 2020)."""
    return post_ln().replace(norm_position="pre")


@_preset("Attention: post-LN, warm-up", "attention", "12 transformer blocks, norm A, warmed up", "post_ln")
def post_ln_warmup() -> Config:
    """The same post-LN blocks, the learning rate raised over 100 steps: most seeds learn."""
    return post_ln().replace(warmup=100)


# ---------------------------------------------------------------------- half precision
@_preset("Half: fp16, no loss scale", "precision", "10 sigmoid layers, float16")
def fp16_underflow() -> Config:
    """Ten sigmoid layers in float16: in the first every gradient entry rounds to exactly 0, and it never moves."""
    return Config(depth=10, activation="sigmoid", init="normal", optimizer="adam", lr=0.01, precision="float16")


@_preset("Half: fp16 with a loss scale", "precision", "10 sigmoid layers, float16, scaled", "fp16_underflow")
def fp16_scaled() -> Config:
    """The same weights, the loss times 65536 before the backward pass: no entry is lost, every layer moves."""
    return fp16_underflow().replace(loss_scale="dynamic")


@_preset("Half: fp16, scaled too far", "precision", "8 ReLU layers, float16")
def fp16_overflow() -> Config:
    """The healthy network, its loss times 2^24: the gradient overflows float16 at once; float32 would hold it."""
    return Config(precision="float16", loss_scale=2.0**24)


@_preset("Half: fp16, dynamic scale", "precision", "8 ReLU layers, float16, scaled", "fp16_overflow")
def fp16_dynamic() -> Config:
    """A dynamic scale skips the step that overflows and halves itself until the gradient fits; the network learns."""
    return fp16_overflow().replace(loss_scale="dynamic")


@_preset("Half: the float32 copy", "precision", "8 ReLU layers, bfloat16, Adam")
def bf16_master() -> Config:
    """Adam's steps are below half an ulp of most bfloat16 weights, which would stand still; a float32 copy moves."""
    return Config(precision="bfloat16", optimizer="adam", lr=1e-4)
