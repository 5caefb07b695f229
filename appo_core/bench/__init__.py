"""Benchmarks that print ratios measured side by side in one run: ``appo bench algorithm|rollout|train|checkpoint``."""
