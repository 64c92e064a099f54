"""Why a setting that controls can ask for is not accepted; other refusals are of code, and English."""

EN = {
    "error.couples": "batch_size=1 with norm={norm!r}; expected a batch_size >= 2, as it averages over samples",
    "error.weights": "width={width} with depth={depth} makes {weights:.1e} weights; expected at most {most:.0e}",
    "error.tail": "batch_size={batch_size} leaves a last micro-batch of 1 of the {n} samples, and norm={norm!r} "
    "averages over samples; expected a batch_size that leaves 0 or at least 2",
    "error.labels": "dataset={name!r} cannot be trained: label {label} is outside [0, {outputs}), all that {outputs} "
    "output(s) can name; expected at least {needed} outputs, as dataset='article' has",
    "error.digits": "dataset='digits' needs scikit-learn, which is not installed; run "
    "pip install 'gradlab-jupyter[digits]', or choose another dataset",
}

ZH = {
    "error.couples": "batch_size=1 而 norm={norm!r}：它要对样本求平均，batch_size 至少为 2",
    "error.weights": "width={width}、depth={depth} 共有 {weights:.1e} 个权重；最多 {most:.0e} 个",
    "error.tail": "batch_size={batch_size} 时，{n} 个样本的最后一个微批次只剩 1 个样本，而 norm={norm!r} "
    "要对样本求平均；请选一个除尽、或至少剩 2 个样本的 batch_size",
    "error.labels": "dataset={name!r} 无法训练：标签 {label} 不在 [0, {outputs}) 之内，{outputs} 个输出只能表示"
    "这么多类；至少需要 {needed} 个输出，就像 dataset='article' 那样",
    "error.digits": "dataset='digits' 需要 scikit-learn，但没有安装；请运行 pip install 'gradlab-jupyter[digits]'，"
    "或换一个数据集",
}
