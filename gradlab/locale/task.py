"""The section *Exercises*."""

EN = {
    "task.title": "Exercises",
    "task.menu": "Exercise",
    "task.none": "(choose one)",
    "task.about": "A broken network to repair: choosing one sets the controls to it.",
    "task.check": "Check",
    "task.hint": "Hint",
    "task.restart": "Start over",
    "task.tip_menu": "Sets the controls to a broken network and says what is asked of you",
    "task.tip_check": "Train these settings from several seeds, out of sight, and say what is still wrong",
    "task.tip_hint": "One more hint, the gentlest first",
    "task.tip_restart": "Set the controls back to the broken network",
    "task.checking": "Checking these settings on several seeds ...",
    "task.hint_n": "Hint {n} of {count}",
    "task.own": "Exercises need a built-in network and data.",
    "task.error": "The check stopped: {error}",
    "info.lesson": "Lesson",
}

ZH = {
    "task.title": "练习",
    "task.menu": "练习",
    "task.none": "（选择一题）",
    "task.about": "修复一个有毛病的网络：选择一题，控件就会设为它的起点。",
    "task.check": "检查",
    "task.hint": "提示",
    "task.restart": "重新开始",
    "task.tip_menu": "把控件设为一个有毛病的网络，并说明任务",
    "task.tip_check": "在后台用几个种子训练当前设置，并说明还有什么不对",
    "task.tip_hint": "再给一条提示，先易后难",
    "task.tip_restart": "把控件恢复为有毛病的网络",
    "task.checking": "正在用几个种子检查当前设置……",
    "task.hint_n": "提示 {n}（共 {count} 条）",
    "task.own": "练习需要内置的网络和数据。",
    "task.error": "检查中止：{error}",
    "info.lesson": "要点",
}
