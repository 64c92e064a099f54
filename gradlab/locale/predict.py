"""The box *Predict*: a prediction before the reveal."""

EN = {
    "predict.question": "Predict before you look: what happens to the backward signal on its way from layer {last}, "
    "the dot, to layer 1? Choose here, or draw the line in the picture with the mouse.",
    "predict.growing": "Growing",
    "predict.flat": "Flat",
    "predict.shrinking": "Shrinking",
    "predict.reveal": "Reveal",
    "predict.per_layer": "Per layer",
    "predict.said": "Your prediction: {way}, {per_layer} per layer, so {total} over the {layers} hidden layers.",
    "predict.none": "No prediction yet.",
    "predict.way.growing": "growing",
    "predict.way.flat": "flat",
    "predict.way.shrinking": "shrinking",
    "predict.head": "Prediction",
    "predict.score": "{points} of 100 points. You said {guessed_way}, {guessed} in all; measured: {measured_way}, "
    "{measured} in all. {missed}",
    "predict.missed": "Missed by {decades} decades.",
    "predict.reached_zero": "The first layer's signal is exactly 0.",
    "predict.not_finite": "The first layer's signal is not finite.",
    "predict.mean": "Mean of {count} predictions: {points} points.",
    "predict.shallow": "Nothing to predict here: it takes three hidden layers, and a signal at the last of them.",
    "tip.growing": "The signal grows toward the input: an explosion (twofold per layer; the slider says how much)",
    "tip.flat": "The signal stays within one power of ten",
    "tip.shrinking": "The signal shrinks toward the input: it vanishes (by half per layer; the slider says how much)",
    "tip.per_layer": "By how much the signal is multiplied or divided in each layer, toward the input",
    "tip.reveal": "Show what was measured beside your prediction, and score it (Alt+G)",
    "tip.predict_first": "First predict and reveal",
}

ZH = {
    "predict.question": "先预测，再看结果：反向信号从第 {last} 层（图中的点）传到第 1 层时会怎样变化？"
    "在这里选择，或用鼠标在图中画出直线。",
    "predict.growing": "增大",
    "predict.flat": "不变",
    "predict.shrinking": "减小",
    "predict.reveal": "揭晓",
    "predict.per_layer": "每层",
    "predict.said": "你的预测：{way}，每层 {per_layer}，{layers} 个隐藏层共 {total}。",
    "predict.none": "尚未预测。",
    "predict.way.growing": "增大",
    "predict.way.flat": "不变",
    "predict.way.shrinking": "减小",
    "predict.head": "预测",
    "predict.score": "得 {points} 分（满分 100）。你说{guessed_way}，共 {guessed}；"
    "实测{measured_way}，共 {measured}。{missed}",
    "predict.missed": "相差 {decades} 个数量级。",
    "predict.reached_zero": "第 1 层的信号恰好为 0。",
    "predict.not_finite": "第 1 层的信号不是有限数。",
    "predict.mean": "{count} 次预测的平均分：{points}。",
    "predict.shallow": "这里无可预测：至少需要三个隐藏层，且最后一个隐藏层要有信号。",
    "tip.growing": "信号朝输入方向增大：爆炸（每层两倍；用滑块调节）",
    "tip.flat": "信号变化不超过一个数量级",
    "tip.shrinking": "信号朝输入方向减小：消失（每层一半；用滑块调节）",
    "tip.per_layer": "信号朝输入方向每层乘以或除以多少",
    "tip.reveal": "把实测结果与你的预测一起显示并评分（Alt+G）",
    "tip.predict_first": "请先预测并揭晓",
}
