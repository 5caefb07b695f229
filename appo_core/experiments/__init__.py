"""Comparisons of RL runs: learning curves at equal cost, statistics over seeds, and where branch points fall."""
