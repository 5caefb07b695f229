"""What the parameter forms start from: the demo preset, which runs on any machine."""

from appo_core.config.presets import load_preset

DEMO = load_preset("demo")
