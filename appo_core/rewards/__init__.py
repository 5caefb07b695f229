"""Rewards: answer extraction, comparison with accepted answers, scoring."""

from appo_core.rewards.match import Kind, Verdict, answers_match, infer_kind
from appo_core.rewards.response import extract_answer, format_fault
from appo_core.rewards.scoring import RewardResult, score_response

__all__ = [
    "Kind",
    "RewardResult",
    "Verdict",
    "answers_match",
    "extract_answer",
    "format_fault",
    "infer_kind",
    "score_response",
]
