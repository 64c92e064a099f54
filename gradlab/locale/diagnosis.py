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
        "dead_start": "Dead units: from step 0 on, {dead} of the units of layer {dead_layer} are 0 for every "
        "sample, so no gradient passes below it.",
        "dead": "Dead units: {dead} of the units of layer {dead_layer} are 0 for every sample by now, so no "
        "gradient passes below it; the loss is finite, {loss_now}, but nothing is learned any more.",
        "dead_by_step": "Dead units: steps that were too large (the loss went up to {loss_max}) drove {dead} of "
        "the units of layer {dead_layer} to 0 for every sample, and no gradient brings them back.",
        "saturated_start": "Saturation: from step 0 on, {saturated} of the activations sit at the flat ends of "
        "the activation function, where its slope is nearly 0: weights or biases are too large.",
        "saturated": "Saturation: {saturated} of the activations have moved to the flat ends of the activation "
        "function, where its slope is nearly 0, and the loss stays at {loss_now}.",
        "step_too_large": "The step is too large: the gradient was sound at step 0, but updates overshoot, and "
        "the loss went from {loss_first} up to {loss_max} and stands at {loss_now}.",
        "clipped_always": "Clipped nearly always: {clipped} of the steps are cut, to {coef} of their norm "
        "(median), so the threshold has taken the learning rate's place.",
        "stuck_zero_weights": "Stuck: all hidden weights are 0, so the layers pass each other neither signal nor "
        "gradient.",
        "stuck_silent": "Stuck: the weight gradient is exactly 0 in {silent} of the hidden layers, so they "
        "cannot move; the loss stays at {loss_now}.",
        "stuck_step": "Stuck: an update changes the weights by {ratio} of their size (0.001 is usual), so the "
        "loss stays at {loss_now}: the step is too small.",
        "stuck": "Stuck: the backward signal arrives and nothing overflows, but after {steps} steps the loss "
        "still stands at {loss_now}; finite is not learning.",
        "healthy": "Healthy: the backward signal stays within a factor {spread} over the {layers} hidden layers, "
        "and the loss has fallen from {loss_first} to {loss_now}.",
        "healthy_so_far": "Healthy so far: the backward signal stays within a factor {spread} over the {layers} "
        "hidden layers, and the loss is falling, from {loss_first} to {loss_now}.",
        "healthy_shallow": "Healthy: the loss has fallen from {loss_first} to {loss_now} (with fewer than two "
        "hidden layers there is no depth for a gradient to explode or vanish over).",
        "diverged_exploding": "{where}; the cause was there at step 0, where the signal grows from layer to "
        "layer and the loss is {loss_first}: {cause}.",
        "diverged_step": "{where}; the network was sound at step 0, with a loss of {loss_first}: the steps were "
        "too large for it.",
        "diverged_skipped": "Diverged: {lost} of the last steps were not finite and were skipped, so the run is "
        "alive and learns nothing.",
        "too_short": "Too short to say: after {steps} steps nothing is wrong with the gradient; the loss needs a "
        "few steps more.",
        "unsure": "Not sure: nothing explodes, vanishes, is dead, saturated or clipped for good, but after "
        "{steps} steps the loss ({loss_first} to {loss_now}) does not clearly fall.",
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
        "dead_start": "神经元死亡：从第 0 步起，第 {dead_layer} 层有 {dead} 的单元对所有样本都输出 0，梯度传不到"
        "它下面的层。",
        "dead": "神经元死亡：第 {dead_layer} 层已有 {dead} 的单元对所有样本都输出 0，梯度传不到它下面的层；损失是"
        "有限值 {loss_now}，但已经什么都学不到了。",
        "dead_by_step": "神经元死亡：步长过大（损失一度升到 {loss_max}），使第 {dead_layer} 层 {dead} 的单元对所"
        "有样本都输出 0，而没有梯度能让它们恢复。",
        "saturated_start": "饱和：从第 0 步起，{saturated} 的激活值处在激活函数的平坦两端，那里斜率几乎为 0：权重"
        "或偏置太大。",
        "saturated": "饱和：{saturated} 的激活值已移到激活函数的平坦两端，那里斜率几乎为 0，损失停在 {loss_now}。",
        "step_too_large": "步长过大：第 0 步时梯度正常，但更新越过了最低点，损失从 {loss_first} 升到过 {loss_max}，"
        "现在是 {loss_now}。",
        "clipped_always": "几乎每步都被裁剪：{clipped} 的步被裁剪，范数只剩原来的 {coef}（中位数），阈值实际上取"
        "代了学习率。",
        "stuck_zero_weights": "停滞：隐藏层的权重全为 0，各层之间既不传信号，也不传梯度。",
        "stuck_silent": "停滞：{silent} 的隐藏层的权重梯度恰好为 0，权重无法移动，损失停在 {loss_now}。",
        "stuck_step": "停滞：每次更新只改变权重大小的 {ratio}（通常约为 0.001），损失停在 {loss_now}：步长太小。",
        "stuck": "停滞：反向信号能够到达，也没有溢出，但 {steps} 步之后损失仍为 {loss_now}；数值有限并不等于在学习。",
        "healthy": "健康：反向信号在 {layers} 个隐藏层之间的变化不超过 {spread} 倍，损失已从 {loss_first} 降到 "
        "{loss_now}。",
        "healthy_so_far": "目前健康：反向信号在 {layers} 个隐藏层之间的变化不超过 {spread} 倍，损失正在下降，从 "
        "{loss_first} 到 {loss_now}。",
        "healthy_shallow": "健康：损失已从 {loss_first} 降到 {loss_now}（隐藏层不足两层，梯度没有可供爆炸或消失的"
        "深度）。",
        "diverged_exploding": "{where}；原因在第 0 步就已存在，那时信号逐层放大，损失为 {loss_first}：{cause}。",
        "diverged_step": "{where}；第 0 步时网络是正常的，损失为 {loss_first}：对它来说步长太大了。",
        "diverged_skipped": "发散：最近 {lost} 的步不是有限数而被跳过，训练没有中断，但什么也学不到。",
        "too_short": "步数太少，无法判断：{steps} 步之后梯度没有异常，损失还需要再看几步。",
        "unsure": "尚不确定：没有爆炸、消失，也没有持续的死亡、饱和或裁剪，但 {steps} 步之后损失（{loss_first} 到"
        " {loss_now}）没有明显下降。",
    },
}

CAUSES: Texts = {
    "en": {
        "weights_large": "the weights are too large for this depth",
        "norm": "the norm makes the weights' scale irrelevant and amplifies the gradient itself",
        "residual": "every residual block adds its share to the signal",
        "weights_small": "the weights are too small for this depth",
        "slope": "the slope of the activation function is too small",
    },
    "zh": {
        "weights_large": "对这样的深度来说，权重太大",
        "norm": "归一化使权重的尺度不起作用，而它本身会放大梯度",
        "residual": "每个残差块都给信号添上一份",
        "weights_small": "对这样的深度来说，权重太小",
        "slope": "激活函数的斜率太小",
    },
}
"""Why a signal grows or shrinks."""

WHERE: Texts = {
    "en": {
        "activation": "Diverged at step {step}: the activation of layer {layer} is not finite",
        "gradient": "Diverged at step {step}: the gradient of layer {layer} is not finite",
        "weight": "Diverged at step {step}: the weights of layer {layer} are not finite",
        "loss": "Diverged at step {step}: the loss is not finite",
    },
    "zh": {
        "activation": "第 {step} 步发散：第 {layer} 层的激活值不是有限数",
        "gradient": "第 {step} 步发散：第 {layer} 层的梯度不是有限数",
        "weight": "第 {step} 步发散：第 {layer} 层的权重不是有限数",
        "loss": "第 {step} 步发散：损失不是有限数",
    },
}
"""The beginning of a sentence about a divergence, by the tensor that was not finite."""
