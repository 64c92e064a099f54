"""What an editor says of gradlab's names: pyright reads this file, and an error that it does not find is one."""
# pyright: reportUnnecessaryTypeIgnoreComment=true

from typing import assert_type

from gradlab import PRESETS, Config, GradLab, History, Trainer, compare

assert_type(PRESETS["healthy"], Config)
assert_type(Trainer(PRESETS["healthy"]).run(1), History)
Config(depth=30)
Config(dpeth=30)  # pyright: ignore[reportCallIssue]
Config(depth="30")  # pyright: ignore[reportArgumentType]
lab = GradLab(depth=30, replay=True)
lab.set(lr=0.1)
GradLab(dpeth=30)  # pyright: ignore[reportCallIssue]
GradLab(depth="30")  # pyright: ignore[reportArgumentType]
lab.set(rl=0.1)  # pyright: ignore[reportCallIssue]
assert_type(compare({"one": lab.config}, 1), dict[str, History])
