"""Divergences and marks of a history."""

EN = {
    "record.diverged": "Diverged at step {step}: the {tensor} of layer {layer}{name} is {what}.",
    "record.diverged_loss": "Diverged at step {step}: the loss is {what}.",
    "record.skipped": "Skipped step {step}. {sentence}",
    "record.uncleared": "Step {step} began with the gradients of the one before: call optimizer.zero_grad() before "
    "backward().",
    "record.nan": "not a number (NaN)",
    "record.inf": "infinite",
    "record.activation": "activation",
    "record.gradient": "gradient",
    "record.weight": "weight",
}

ZH = {
    "record.diverged": "第 {step} 步发散：第 {layer} 层{name}的{tensor}是{what}。",
    "record.diverged_loss": "第 {step} 步发散：损失是{what}。",
    "record.skipped": "第 {step} 步被跳过。{sentence}",
    "record.uncleared": "第 {step} 步开始时还留着上一步的梯度：请在 backward() 之前调用 optimizer.zero_grad()。",
    "record.nan": "非数（NaN）",
    "record.inf": "无穷大",
    "record.activation": "激活值",
    "record.gradient": "梯度",
    "record.weight": "权重",
}
