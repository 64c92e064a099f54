"""`SENTENCES`: every sentence of a diagnosis, by language and key, and the clauses that they are put together of."""

from __future__ import annotations

Texts = dict[str, dict[str, str]]

SENTENCES: Texts = {
    "en": {
        "exploding": "Exploding gradient: at step 0 the backward signal grows {rate}-fold per layer toward the "
        "input, {factor}-fold over the {layers} hidden layers: {cause}.",
        "exploding_hidden": "Exploding gradient: at step 0 the backward signal dL/dz grows {rate}-fold per layer "
        "toward the input, {factor}-fold in all ({cause}); dL/dW hides it, being a product with the forward "
        "signal, which grows the other way.",
        "exploding_survived": "The gradient explodes at step 0, {rate}-fold per layer and {factor}-fold over the "
        "{layers} hidden layers ({cause}); this run got through it, loss {loss_first} to {loss_now}, as not "
        "every seed will.",
        "exploding_by_now": "Exploding gradient: sound at step 0, after {steps} steps the backward signal grows by "
        "{decades_now} decades over the {layers} hidden layers toward the input: training itself has made the "
        "weights too large, and the loss is {loss_now}.",
        "vanishing_by_now": "Vanishing gradient: sound at step 0, after {steps} steps the backward signal loses "
        "{decades_now} decades over the {layers} hidden layers toward the input: training itself has driven the "
        "units to where they pass little on, and the loss is {loss_now}.",
        "vanishing": "Vanishing gradient: at step 0 the backward signal is multiplied by {rate} per layer toward "
        "the input and loses {decades} decades over the {layers} hidden layers ({cause}), so the first "
        "layers hardly learn; the loss is {loss_now}.",
        "vanishing_survived": "The gradient vanishes at step 0, by a factor {rate} per layer and {decades} "
        "decades in all ({cause}); training has worked its way out of it, loss {loss_first} to {loss_now}.",
        "dead_start": "Dead units: from step 0 on, {dead} of the units of {dead_name} are 0 for every "
        "sample, so no gradient passes below it.",
        "dead": "Dead units: {dead} of the units of {dead_name} are 0 for every sample by now, so no "
        "gradient passes below it; the loss is finite, {loss_now}, but nothing is learned any more.",
        "dead_by_step": "Dead units: steps that were too large (the loss went up to {loss_max}) drove {dead} of "
        "the units of {dead_name} to 0 for every sample, and no gradient brings them back.",
        "saturated_start": "Saturation: from step 0 on, {saturated} of the activations sit at the flat ends of "
        "the activation function, where its slope is nearly 0: weights or biases are too large.",
        "saturated": "Saturation: {saturated} of the activations have moved to the flat ends of the activation "
        "function, where its slope is nearly 0, and the loss stays at {loss_now}.",
        "step_too_large": "The step is too large: the gradient was sound at step 0, but updates overshoot, and "
        "the loss went from {loss_first} up to {loss_max} and stands at {loss_now}.",
        "clipped_always": "Clipped nearly always: {clipped} of the steps are cut, to {coef} of their norm "
        "(median), so the threshold has taken the learning rate's place.",
        "dead_stop": "No gradient passes {fed}: the backward signal arrives there and is exactly 0 at {stopped} "
        "and below, "
        "as behind units that are 0 for every sample; the loss is {loss_now}{chance}.",
        "dead_silent": "The weight gradient of {silent_name} is exactly 0 in every recent step: what it feeds is "
        "dead, "
        "or nothing depends on it; the rest of the network goes on without it, and the loss is {loss_now}.",
        "vanishing_time": "Vanishing through time: from the last time step back to the first the signal dL/dh loses "
        "{time} decades, so what came early is not learned; the loss is {loss_now}{chance}.",
        "vanishing_truncated": "Cut off in time: truncation sends nothing back to the first {cut} time steps, so "
        "what came there is not learned; the loss is {loss_now}{chance}.",
        "exploding_time": "Exploding through time: from the last time step back to the first the signal dL/dh "
        "grows by "
        "{time} decades; the loss is {loss_now}{chance}.",
        "uncleared": "Gradients are not cleared: the weight gradients have grown {heaped}-fold against the backward "
        "signal that they are made of, step by step, so every step still carries all the gradients before it.",
        "stuck_zero_weights": "Stuck: all hidden weights are 0, so the layers pass each other neither signal nor "
        "gradient.",
        "stuck_silent": "Stuck: the weight gradient is exactly 0 in {silent} of the hidden layers, so they "
        "cannot move; the loss stays at {loss_now}.",
        "stuck_step": "Stuck: an update changes the weights by {ratio} of their size (0.001 is usual), so the "
        "loss stays at {loss_now}: the step is too small.",
        "stuck": "Stuck: the backward signal arrives and nothing overflows, but after {steps} steps the loss "
        "still stands at {loss_now}; finite is not learning.",
        "stuck_chance": "At chance: nothing explodes or vanishes, but after {steps} steps the loss is {loss_now}, "
        "no better "
        "than guessing ({chance_loss}); finite is not learning.",
        "stuck_scale": "Out of scale: at step 0 the loss was {loss_first} and its gradient {output_signal} at the "
        "output "
        "already, and the loss stands at {loss_now}: the targets, the inputs or the output layer are far out of "
        "scale.",
        "healthy": "Healthy: the backward signal stays within a factor {spread} over the {layers} hidden layers, "
        "and the loss has fallen from {loss_first} to {loss_now}.",
        "healthy_so_far": "Healthy so far: the backward signal stays within a factor {spread} over the {layers} "
        "hidden layers, and the loss is falling, from {loss_first} to {loss_now}.",
        "healthy_if_classes": "Healthy, if this is a classification: the backward signal stays within a factor "
        "{spread} "
        "over the {layers} hidden layers, and the loss has fallen from {loss_first} to {loss_now}, below ln 2, the "
        "guess between two classes.",
        "healthy_shallow": "Healthy: the loss has fallen from {loss_first} to {loss_now} (with fewer than two "
        "hidden layers there is no depth for a gradient to explode or vanish over).",
        "diverged_exploding": "{where}; the cause was there at step 0, where the signal grows from layer to "
        "layer and the loss is {loss_first}: {cause}.",
        "diverged_step": "{where}; the network was sound at step 0, with a loss of {loss_first}: the steps were "
        "too large for it.",
        "diverged_scale": "{where}; at step 0 the loss was {loss_first} and its gradient {output_signal} at the "
        "output "
        "already: the targets or the inputs are far out of scale for these steps.",
        "diverged_data": "{where}, and its weights are sound: what it was fed is not finite, so look at the data.",
        "diverged_uncleared": "{where}; the gradients were not cleared: from step to step the weight gradients grew "
        "against the backward signal that they are made of.",
        "diverged_unseen": "{where}; the loss began at {loss_first}, and since too few layers showed a signal "
        "nobody can "
        "say whether the signal or the steps were too large.",
        "diverged_skipped": "Diverged: {lost} of the last steps were not finite and were skipped, so the run is "
        "alive and learns nothing.",
        "unsure_short": "Too short to say: after {steps} steps nothing is wrong with the gradient; the loss needs a "
        "few steps more.",
        "unsure_unseen": "Not seen: no layer showed a backward signal, so nothing can be said of the gradient; the "
        "layers "
        "were not called as modules, or the network was compiled before.",
        "unsure_chance": "Not sure: the backward signal neither explodes nor vanishes, and the loss went from "
        "{loss_first} to {loss_now}, but nobody has said what guessing would cost.",
        "unsure_far": "Not sure: nothing explodes or vanishes, but the loss, {loss_first} to {loss_now}, is far "
        "above "
        "guessing ({chance_loss}): the outputs are out of scale, and learning begins where they are back in it.",
        "unsure": "Not sure: nothing explodes, vanishes, is dead, saturated or clipped for good, but after "
        "{steps} steps the loss ({loss_first} to {loss_now}) does not clearly fall{chance}.",
    },
    "zh": {
        "exploding": "梯度爆炸：第 0 步时，反向信号每向输入方向走一层就放大 {rate} 倍，经过 {layers} 个隐藏层共放"
        "大 {factor} 倍：{cause}。",
        "exploding_hidden": "梯度爆炸：第 0 步时，反向信号 dL/dz 每向输入方向走一层就放大 {rate} 倍，共 {factor} "
        "倍（{cause}）；dL/dW 看不出这一点，因为它还要乘上朝相反方向增长的前向信号。",
        "exploding_survived": "第 0 步时梯度爆炸：每层 {rate} 倍，{layers} 个隐藏层共 {factor} 倍（{cause}）；这"
        "次训练挺了过来，损失从 {loss_first} 降到 {loss_now}，但换一个随机种子未必如此。",
        "exploding_by_now": "梯度爆炸：第 0 步时还正常，{steps} 步之后，反向信号经过 {layers} 个隐藏层朝输入方向"
        "增大了 {decades_now} 个数量级：是训练本身把权重变得太大；损失为 {loss_now}。",
        "vanishing_by_now": "梯度消失：第 0 步时还正常，{steps} 步之后，反向信号经过 {layers} 个隐藏层朝输入方向"
        "损失了 {decades_now} 个数量级：是训练本身把单元推到了几乎不传递信号的位置；损失为 {loss_now}。",
        "vanishing": "梯度消失：第 0 步时，反向信号每向输入方向走一层就乘以 {rate}，经过 {layers} 个隐藏层共损失 "
        "{decades} 个数量级（{cause}），靠近输入的层几乎学不到东西；损失为 {loss_now}。",
        "vanishing_survived": "第 0 步时梯度消失：每层乘以 {rate}，共损失 {decades} 个数量级（{cause}）；训练已经"
        "走出困境，损失从 {loss_first} 降到 {loss_now}。",
        "dead_start": "神经元死亡：从第 0 步起，{dead_name}有 {dead} 的单元对所有样本都输出 0，梯度传不到"
        "它下面的层。",
        "dead": "神经元死亡：{dead_name}已有 {dead} 的单元对所有样本都输出 0，梯度传不到它下面的层；损失是"
        "有限值 {loss_now}，但已经什么都学不到了。",
        "dead_by_step": "神经元死亡：步长过大（损失一度升到 {loss_max}），使{dead_name} {dead} 的单元对所"
        "有样本都输出 0，而没有梯度能让它们恢复。",
        "saturated_start": "饱和：从第 0 步起，{saturated} 的激活值处在激活函数的平坦两端，那里斜率几乎为 0：权重"
        "或偏置太大。",
        "saturated": "饱和：{saturated} 的激活值已移到激活函数的平坦两端，那里斜率几乎为 0，损失停在 {loss_now}。",
        "step_too_large": "步长过大：第 0 步时梯度正常，但更新越过了最低点，损失从 {loss_first} 升到过 {loss_max}，"
        "现在是 {loss_now}。",
        "clipped_always": "几乎每步都被裁剪：{clipped} 的步被裁剪，范数只剩原来的 {coef}（中位数），阈值实际上取"
        "代了学习率。",
        "dead_stop": "梯度过不了{fed}：反向信号到达那里，而到{stopped}及其以下恰好为 0，就像对所有样本都为 0 的单元"
        "后面那样；"
        "损失为 {loss_now}{chance}。",
        "dead_silent": "{silent_name} 的权重梯度在最近每一步都恰好为 0：它之后的单元已死亡，或者没有什么依赖它；网络"
        "的其余部分绕过它继续训练，损失为 {loss_now}。",
        "vanishing_time": "沿时间消失：从最后一个时间步回到第一个，信号 dL/dh 损失 {time} 个数量级，早先的输入学不"
        "到；"
        "损失为 {loss_now}{chance}。",
        "vanishing_truncated": "时间被截断：截断使最初 {cut} 个时间步得不到任何信号，那里的输入学不到；损失为 "
        "{loss_now}{chance}。",
        "exploding_time": "沿时间爆炸：从最后一个时间步回到第一个，信号 dL/dh 增大 {time} 个数量级；损失为 "
        "{loss_now}{chance}。",
        "uncleared": "梯度没有清零：权重梯度相对于构成它的反向信号逐步增长到 {heaped} 倍，每一步都还带着之前所有的"
        "梯度。",
        "stuck_zero_weights": "停滞：隐藏层的权重全为 0，各层之间既不传信号，也不传梯度。",
        "stuck_silent": "停滞：{silent} 的隐藏层的权重梯度恰好为 0，权重无法移动，损失停在 {loss_now}。",
        "stuck_step": "停滞：每次更新只改变权重大小的 {ratio}（通常约为 0.001），损失停在 {loss_now}：步长太小。",
        "stuck": "停滞：反向信号能够到达，也没有溢出，但 {steps} 步之后损失仍为 {loss_now}；数值有限并不等于在学习。",
        "stuck_chance": "等于瞎猜：没有爆炸，也没有消失，但 {steps} 步之后损失为 {loss_now}，不比瞎猜"
        "（{chance_loss}）好；数值"
        "有限并不等于在学习。",
        "stuck_scale": "尺度不对：第 0 步时损失为 {loss_first}，输出处的梯度已有 {output_signal}，而损失停在 "
        "{loss_now}：目标"
        "值、输入或输出层的尺度差得太远。",
        "healthy": "健康：反向信号在 {layers} 个隐藏层之间的变化不超过 {spread} 倍，损失已从 {loss_first} 降到 "
        "{loss_now}。",
        "healthy_so_far": "目前健康：反向信号在 {layers} 个隐藏层之间的变化不超过 {spread} 倍，损失正在下降，从 "
        "{loss_first} 到 {loss_now}。",
        "healthy_if_classes": "健康（如果这是分类）：反向信号在 {layers} 个隐藏层之间的变化不超过 {spread} 倍，损失"
        "已从 "
        "{loss_first} 降到 {loss_now}，低于两类瞎猜的 ln 2。",
        "healthy_shallow": "健康：损失已从 {loss_first} 降到 {loss_now}（隐藏层不足两层，梯度没有可供爆炸或消失的"
        "深度）。",
        "diverged_exploding": "{where}；原因在第 0 步就已存在，那时信号逐层放大，损失为 {loss_first}：{cause}。",
        "diverged_step": "{where}；第 0 步时网络是正常的，损失为 {loss_first}：对它来说步长太大了。",
        "diverged_scale": "{where}；第 0 步时损失为 {loss_first}，输出处的梯度已有 {output_signal}：对这样的步长来"
        "说，目标"
        "值或输入的尺度差得太远。",
        "diverged_data": "{where}，而它的权重是正常的：喂给它的不是有限数，请检查数据。",
        "diverged_uncleared": "{where}；梯度没有清零：权重梯度相对于构成它的反向信号逐步增长。",
        "diverged_unseen": "{where}；损失开始时为 {loss_first}，由于显示出信号的层太少，无法判断是信号太大还是步长"
        "太大。",
        "diverged_skipped": "发散：最近 {lost} 的步不是有限数而被跳过，训练没有中断，但什么也学不到。",
        "unsure_short": "步数太少，无法判断：{steps} 步之后梯度没有异常，损失还需要再看几步。",
        "unsure_unseen": "没有看到：没有一层显示出反向信号，因此无法判断梯度；各层没有作为模块调用，或网络事先已编"
        "译。",
        "unsure_chance": "尚不确定：反向信号既不爆炸也不消失，损失从 {loss_first} 变到 {loss_now}，但没有人说过瞎猜"
        "的损失"
        "是多少。",
        "unsure_far": "尚不确定：没有爆炸，也没有消失，但损失（{loss_first} 到 {loss_now}）远高于瞎猜"
        "（{chance_loss}）：输出"
        "的尺度不对，回到正常尺度之后学习才会开始。",
        "unsure": "尚不确定：没有爆炸、消失，也没有持续的死亡、饱和或裁剪，但 {steps} 步之后损失（{loss_first} 到"
        " {loss_now}）没有明显下降{chance}。",
    },
}

CAUSES: Texts = {
    "en": {
        "weights_large": "the weights are too large for this depth",
        "norm": "the norm makes the weights' scale irrelevant and amplifies the gradient itself",
        "residual": "every residual block adds its share to the signal",
        "weights_small": "the weights are too small for this depth",
        "slope": "the slope of the activation function is too small",
        "own_grows": "most of all through the weights of {steepest}",
        "own_shrinks": "most of all through the weights of {steepest}",
    },
    "zh": {
        "weights_large": "对这样的深度来说，权重太大",
        "norm": "归一化使权重的尺度不起作用，而它本身会放大梯度",
        "residual": "每个残差块都给信号添上一份",
        "weights_small": "对这样的深度来说，权重太小",
        "slope": "激活函数的斜率太小",
        "own_grows": "主要是经过 {steepest} 的权重时",
        "own_shrinks": "主要是经过 {steepest} 的权重时",
    },
}
"""Why a signal grows or shrinks."""

WHERE: Texts = {
    "en": {
        "activation": "Diverged at step {step}: the activation of {layer} is not finite",
        "gradient": "Diverged at step {step}: the gradient of {layer} is not finite",
        "weight": "Diverged at step {step}: the weights of {layer} are not finite",
        "loss": "Diverged at step {step}: the loss is not finite",
    },
    "zh": {
        "activation": "第 {step} 步发散：{layer} 的激活值不是有限数",
        "gradient": "第 {step} 步发散：{layer} 的梯度不是有限数",
        "weight": "第 {step} 步发散：{layer} 的权重不是有限数",
        "loss": "第 {step} 步发散：损失不是有限数",
    },
}
"""The beginning of a sentence about a divergence, by the tensor that was not finite."""

ADVICE: Texts = {
    "en": {
        "signal": "try `nn.init.kaiming_normal_(model.get_submodule({quoted}).weight)`, or a norm or a skip "
        "connection "
        "around {steepest}",
        "all": "try `nn.init.kaiming_normal_(layer.weight)` for every layer, {steepest} among them "
        "(`xavier_normal_` before tanh), or `nn.LayerNorm` and skip connections",
        "stop": "look what `model.get_submodule({fed_quoted})` is fed, or try `nn.LeakyReLU()` before it",
        "data": "try `assert torch.isfinite(x).all()` before `model(x)`",
        "blind": "{blind} of the layers showed no backward signal, and nothing is said of them",
        "step": "try `optimizer.param_groups[0]['lr'] /= 10`, or "
        "`nn.utils.clip_grad_norm_(model.parameters(), 1.0)` before `optimizer.step()`",
        "time": "try a gated cell (`nn.LSTM`, forget bias 1), an orthogonal recurrent matrix "
        "(`nn.init.orthogonal_(rnn.weight_hh_l0)`), or truncated sequences",
        "clip": "try `nn.utils.clip_grad_norm_(model.parameters(), 1.0)` before `optimizer.step()`",
        "scale": "try `y = (y - y.mean()) / y.std()`, and the same for the inputs",
        "dead": "try `nn.LeakyReLU()` after {dead_name}, or a smaller learning rate from a fresh start",
        "silent": "look what `model.get_submodule({silent_quoted})` feeds",
        "clear": "call `optimizer.zero_grad()` before `loss.backward()`",
        "threshold": "try a larger `max_norm` in `clip_grad_norm_`, {threshold} times what it is",
        "larger": "try `optimizer.param_groups[0]['lr'] *= 10`",
        "init": "try `nn.init.kaiming_normal_(model.get_submodule({first_quoted}).weight)` and so on for every layer",
        "stuck": "try `torch.optim.Adam(model.parameters(), lr=1e-3)`",
        "unseen": "open `gradlab.watch` before `torch.compile`",
        "chance": "say it: `gradlab.diagnose(history, num_classes=...)`, or `chance_loss=`",
    },
    "zh": {
        "signal": "可以试试 `nn.init.kaiming_normal_(model.get_submodule({quoted}).weight)`，或在 {steepest} 处加归"
        "一化或残差连接",
        "all": "可以试试对每一层（包括{steepest}）用 `nn.init.kaiming_normal_(layer.weight)`（tanh 之前用 "
        "`xavier_normal_`），或用 `nn.LayerNorm` 和残差连接",
        "stop": "请看看 `model.get_submodule({fed_quoted})` 的输入，或在它之前用 `nn.LeakyReLU()`",
        "data": "可以试试在 `model(x)` 之前 `assert torch.isfinite(x).all()`",
        "blind": "{blind} 的层没有显示出反向信号，对它们无法下结论",
        "step": "可以试试 `optimizer.param_groups[0]['lr'] /= 10`，或在 `optimizer.step()` 之前 "
        "`nn.utils.clip_grad_norm_(model.parameters(), 1.0)`",
        "time": "可以试试门控单元（`nn.LSTM`，遗忘门偏置 1）、正交的循环矩阵"
        "（`nn.init.orthogonal_(rnn.weight_hh_l0)`），"
        "或截断序列",
        "clip": "可以试试在 `optimizer.step()` 之前 `nn.utils.clip_grad_norm_(model.parameters(), 1.0)`",
        "scale": "可以试试 `y = (y - y.mean()) / y.std()`，输入也一样",
        "dead": "可以试试在 {dead_name} 之后用 `nn.LeakyReLU()`，或以更小的学习率重新开始",
        "silent": "请看看 `model.get_submodule({silent_quoted})` 通向哪里",
        "clear": "请在 `loss.backward()` 之前调用 `optimizer.zero_grad()`",
        "threshold": "可以试试把 `clip_grad_norm_` 的 `max_norm` 增大到 {threshold} 倍",
        "larger": "可以试试 `optimizer.param_groups[0]['lr'] *= 10`",
        "init": "可以试试 `nn.init.kaiming_normal_(model.get_submodule({first_quoted}).weight)`，每层都如此",
        "stuck": "可以试试 `torch.optim.Adam(model.parameters(), lr=1e-3)`",
        "unseen": "请在 `torch.compile` 之前使用 `gradlab.watch`",
        "chance": "请告知：`gradlab.diagnose(history, num_classes=...)` 或 `chance_loss=`",
    },
}
"""What to change in a loop of one's own, as PyTorch."""

VERDICT: Texts = {
    "en": {
        "layer": "layer {number}",
        "named": "layer {number} ({name})",
        "chance": "; guessing is {chance}",
        "headline.exploding": "EXPLODING x{total}",
        "headline.vanishing": "VANISHING x{total}",
        "headline.exploding_survived": "EXPLODED x{total}, CAME THROUGH",
        "headline.vanishing_survived": "VANISHED x{total}, CAME THROUGH",
        "headline.exploding_time": "EXPLODING THROUGH TIME",
        "headline.vanishing_truncated": "CUT OFF IN TIME",
        "headline.vanishing_time": "VANISHING THROUGH TIME",
        "headline.dead": "DEAD: {dead_name}",
        "headline.dead_stop": "NO GRADIENT: {stopped}",
        "headline.dead_silent": "NO GRADIENT: {silent_name}",
        "headline.saturated": "SATURATED {saturated}",
        "headline.step_too_large": "STEP TOO LARGE",
        "headline.clipped_always": "ALWAYS CLIPPED",
        "headline.uncleared": "GRADIENTS NOT CLEARED",
        "headline.stuck": "STUCK",
        "headline.at_chance": "AT CHANCE",
        "headline.diverged": "DIVERGED",
        "headline.unseen": "NOT SEEN",
        "headline.level": "LEVEL x{total}",
        "headline.none": "NO DEPTH",
        "start": "Step 0: x{total} over {layers} layers, x{rate} per layer.",
        "start.shallow": "Step 0: fewer than two hidden layers, no depth to grow over.",
        "start.unseen": "Step 0: no backward signal was seen.",
        "start.none": "No step yet.",
        "now.signal": "Now: x{total}, loss {loss_now}{chance}: {state}.",
        "now.loss": "Now: loss {loss_now}{chance}: {state}.",
        "now.diverged": "{where}.",
        "state.early": "too early to say",
        "state.learned": "it learns",
        "state.falling": "it begins to learn",
        "state.chance": "no better than guessing",
        "state.far": "far above guessing",
        "state.tamed": "it learns, training brought the signal down",
        "state.opened": "it learns, training brought the signal back",
        "state.in_spite": "it learns all the same",
        "state.not": "it does not learn",
        "state.unknown": "what guessing costs is not known",
    },
    "zh": {
        "layer": "第 {number} 层",
        "named": "第 {number} 层（{name}）",
        "chance": "；瞎猜为 {chance}",
        "headline.exploding": "爆炸 {total} 倍",
        "headline.vanishing": "消失 {total} 倍",
        "headline.exploding_survived": "曾爆炸 {total} 倍，已挺过",
        "headline.vanishing_survived": "曾消失 {total} 倍，已挺过",
        "headline.exploding_time": "沿时间爆炸",
        "headline.vanishing_truncated": "时间被截断",
        "headline.vanishing_time": "沿时间消失",
        "headline.dead": "死亡：{dead_name}",
        "headline.dead_stop": "没有梯度：{stopped}",
        "headline.dead_silent": "没有梯度：{silent_name}",
        "headline.saturated": "饱和 {saturated}",
        "headline.step_too_large": "步长过大",
        "headline.clipped_always": "总被裁剪",
        "headline.uncleared": "梯度没有清零",
        "headline.stuck": "停滞",
        "headline.at_chance": "等于瞎猜",
        "headline.diverged": "发散",
        "headline.unseen": "没有看到",
        "headline.level": "平稳 {total} 倍",
        "headline.none": "没有深度",
        "start": "第 0 步：经过 {layers} 层共 {total} 倍，每层 {rate} 倍。",
        "start.shallow": "第 0 步：隐藏层不足两层，没有可供增长的深度。",
        "start.unseen": "第 0 步：没有看到反向信号。",
        "start.none": "还没有走一步。",
        "now.signal": "现在：{total} 倍，损失 {loss_now}{chance}：{state}。",
        "now.loss": "现在：损失 {loss_now}{chance}：{state}。",
        "now.diverged": "{where}。",
        "state.early": "还太早，无法判断",
        "state.learned": "学得动",
        "state.falling": "开始学习",
        "state.chance": "不比瞎猜好",
        "state.far": "远高于瞎猜",
        "state.tamed": "学得动，训练把信号压了下来",
        "state.opened": "学得动，训练让信号恢复了",
        "state.in_spite": "照样学得动",
        "state.not": "学不动",
        "state.unknown": "不知道瞎猜的损失是多少",
    },
}
"""The verdict: a headline, what was at step 0, and what is now."""
