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
    "error.no_script": "a script is written of architecture='mlp' that answers once per sample and has no warm-up; "
    "the other architectures are torch's own modules, which a script of yours can use as they are",
    "error.heads": "heads={heads}; expected a number that divides width={width}",
    "error.truncate": "truncate={truncate}; expected 0 (none) to {steps}, the time steps of a sequence of this data",
    "error.length": "sequence_length={length} with dataset={dataset!r}; expected at least {shortest}",
    "error.sequence": "data X: samples of shape {shape} for architecture={architecture!r}; expected sequences, X of "
    "shape (n, T, c) with T and c at least 1, all of one length (pad shorter ones)",
    "error.image": "data X: samples of shape {shape} for architecture='conv'; expected images, X of shape (n, "
    "channels, height, width), (n, height, width) or the pixels of a square, as dataset='digits' has them",
    "error.image_steps": "data y: one target per time step for architecture='conv'; expected one per image (the "
    "other architectures answer every step)",
    "error.replay": "step={step}: this network draws numbers, or keeps a count, outside of its buffers and of "
    "torch's global generator, so that its steps cannot be replayed bit for bit; expected one of the steps that were "
    "kept, {known}",
    "error.time_packed": "a packed sequence has no time signal here, as its steps lie in one row; pad it instead",
    "error.time_unbatched": "a recurrent module called without a batch dimension has no time signal here; give it "
    "(batch, T, c)",
    "error.time_projection": "an LSTM with proj_size has no time signal here",
    "error.time_dropout": "dropout between recurrent layers hides what the upper ones read, so there is no time "
    "signal; give the module dropout=0",
    "error.time_none": "the network has no recurrent layer; expected nn.RNN, nn.LSTM, nn.GRU, one of their cells, or "
    "architecture='rnn', 'lstm' or 'gru'",
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
    "error.no_script": "脚本只为 architecture='mlp'、每个样本回答一次、没有预热的训练而写；"
    "其他结构就是 torch 自己的模块，您的脚本可以直接使用",
    "error.heads": "heads={heads}；它必须除尽 width={width}",
    "error.truncate": "truncate={truncate}；应为 0（不截断）到 {steps}，即这份数据一个序列的时间步数",
    "error.length": "dataset={dataset!r} 而 sequence_length={length}；至少需要 {shortest}",
    "error.sequence": "data X：architecture={architecture!r} 得到形状为 {shape} 的样本；需要序列，X 的形状为 "
    "(n, T, c)，T 和 c 至少为 1，长度一致（短的请补齐）",
    "error.image": "data X：architecture='conv' 得到形状为 {shape} 的样本；需要图像，X 的形状为 (n, 通道, 高, 宽)、"
    "(n, 高, 宽)，或像 dataset='digits' 那样的正方形像素",
    "error.image_steps": "data y：architecture='conv' 而每个时间步有一个目标；每张图像应只有一个"
    "（其他结构可以逐步回答）",
    "error.replay": "step={step}：这个网络在缓冲区和 torch 全局随机数生成器之外自己抽随机数或计数，"
    "所以它的步骤无法逐位重放；只能回到保存过的步骤 {known}",
    "error.time_packed": "打包的序列（PackedSequence）没有时间信号：它的时间步逐个样本排成一行；请改为补齐",
    "error.time_unbatched": "没有批次维度的循环模块没有时间信号；请给它 (batch, T, c)",
    "error.time_projection": "带 proj_size 的 LSTM 在这里没有时间信号",
    "error.time_dropout": "循环层之间的 dropout 遮住了上层读到的东西，因此没有时间信号；请设 dropout=0",
    "error.time_none": "网络没有循环层；需要 nn.RNN、nn.LSTM、nn.GRU、它们的 cell，"
    "或 architecture='rnn'、'lstm'、'gru'",
}
