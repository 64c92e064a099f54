"""The status line, and the picture in words."""

EN = {
    "status.counts": "step {step} | updates {updates} | micro-batches {micro_batches} | epoch {epoch} "
    "| samples {samples}",
    "status.short": "step {step} | epoch {epoch} | samples {samples} | loss {loss}",
    "status.loss": "loss {loss}",
    "status.speed": "{speed} steps/s",
    "status.ready": "Ready. Press Play or Step.",
    "status.diverged": "{sentence} The step was not applied; training is paused.",
    "status.continued": "{sentence} Training goes on, as Non-finite says.",
    "status.rejected": "Not accepted, nothing was changed: {error}",
    "status.rewound": "Back at step {step}.",
    "status.closed": "This panel is closed.",
    "status.failed": "Stopped by an error: {error}",
    "alt.hidden": "The layers' signals are hidden until you have predicted them; the last hidden layer's is shown.",
    "alt.empty": "Three pictures, empty so far: no step was taken.",
    "alt.loss": "After {steps} steps the loss is {loss}.",
    "alt.profile": "{measure}: largest in layer {largest} at {largest_value}, "
    "smallest in layer {smallest} at {smallest_value}; "
    "layer {first} is {decades} decades {direction} layer {last}.",
    "alt.between": " ",
    "alt.above": "above",
    "alt.below": "below",
    "alt.odd": "{count} layers {kind}.",
}

ZH = {
    "status.counts": "第 {step} 步 | 更新 {updates} 次 | 微批次 {micro_batches} 个 | 第 {epoch} 轮 "
    "| 样本 {samples} 个",
    "status.short": "第 {step} 步 | 第 {epoch} 轮 | 样本 {samples} 个 | 损失 {loss}",
    "status.loss": "损失 {loss}",
    "status.speed": "{speed} 步/秒",
    "status.ready": "准备就绪。请按“播放”或“单步”。",
    "status.diverged": "{sentence}这一步没有执行，训练已暂停。",
    "status.continued": "{sentence}训练照常继续，如“非有限”所选。",
    "status.rejected": "未被接受，什么都没有改变：{error}",
    "status.rewound": "已回退到第 {step} 步。",
    "status.closed": "这个面板已关闭。",
    "status.failed": "因出错而停止：{error}",
    "alt.empty": "三幅图，还是空的：尚未走过一步。",
    "alt.hidden": "各层的信号在你预测之前是隐藏的；只显示最后一个隐藏层的信号。",
    "alt.loss": "{steps} 步之后损失为 {loss}。",
    "alt.profile": "{measure}：第 {largest} 层最大，为 {largest_value}；第 {smallest} 层最小，为 {smallest_value}；"
    "第 {first} 层比第 {last} 层{direction} {decades} 个数量级。",
    "alt.between": "",
    "alt.above": "高",
    "alt.below": "低",
    "alt.odd": "{count} 层{kind}。",
}
