"""Evaluation: benchmarks, sampling over HTTP, scoring, pass@k with intervals, reports and comparisons."""
