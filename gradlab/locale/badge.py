"""The badge beside the accumulation rule: one batch or not."""

EN = {
    "badge.equal": "= one batch of {samples}: difference {difference}",
    "badge.rounding": "\N{ALMOST EQUAL TO} one batch of {samples}: difference {difference}",
    "badge.unequal": "\N{NOT EQUAL TO} one batch of {samples}: difference {difference}",
    "badge.unknown": "? one batch of {samples}: not comparable",
    "badge.why": "{badge} ({reason})",
    "tip.badge": "The accumulated gradient of the next step against the gradient of the same samples as one batch, "
    "measured: norm of the difference over the norm, in the worst tensor",
    "equality.sum": "a sum of {count}, not divided: {times} times the mean",
    "equality.uneven": "micro-batches of different size count alike",
    "equality.clip": "clipped after each micro-batch, not once",
    "equality.batch_norm": "batch norm takes its statistics from each micro-batch",
    "equality.dropout": "every pass draws at random, as dropout does",
    "equality.coupled": "samples of a micro-batch depend on each other, or the loss is not their mean",
    "equality.cumulative": "a CumulativeGradient carries gradients from pass to pass",
    "equality.nonfinite": "a gradient is not finite",
    "equality.rounding": "only rounding, of gradients too small or cancelling: {wide} in float64",
}

ZH = {
    "badge.equal": "= 一个大小为 {samples} 的批次：相差 {difference}",
    "badge.rounding": "\N{ALMOST EQUAL TO} 一个大小为 {samples} 的批次：相差 {difference}",
    "badge.unequal": "\N{NOT EQUAL TO} 一个大小为 {samples} 的批次：相差 {difference}",
    "badge.unknown": "? 一个大小为 {samples} 的批次：无法比较",
    "badge.why": "{badge}（{reason}）",
    "tip.badge": "下一步的累积梯度与同样样本作为一个批次的梯度之差（实测）：差的范数除以范数，取最差的张量",
    "equality.sum": "{count} 个微批次之和，未作除法：均值的 {times} 倍",
    "equality.uneven": "大小不同的微批次权重相同",
    "equality.clip": "在每个微批次之后裁剪，而不是一次",
    "equality.batch_norm": "批归一化使用每个微批次各自的统计量",
    "equality.dropout": "每次前向都随机抽取，如 dropout",
    "equality.coupled": "同一微批次的样本相互依赖，或损失不是它们的平均",
    "equality.cumulative": "CumulativeGradient 把梯度从一次传递带到下一次",
    "equality.nonfinite": "梯度不是有限数",
    "equality.rounding": "仅为舍入误差（梯度过小或相互抵消）：在 float64 中为 {wide}",
}
