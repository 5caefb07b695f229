"""Runs rules as a Great Expectations suite over a pandas table, in memory and without telemetry."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from appo_core.checks.report import MAX_FAILING_ROWS, RuleResult
from appo_core.checks.rules import Rule

if TYPE_CHECKING:
    from great_expectations.datasource.fluent.interfaces import Batch

_EXAMPLES = 3


def validate(name: str, table: pd.DataFrame, rules: Sequence[Rule]) -> tuple[RuleResult, ...]:
    """The verdict of every rule, in order. The table needs a column `id`, which names offending rows."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx

    expectations = [
        getattr(gx.expectations, rule.expectation)(**rule.arguments, meta={"rule": rule.name}) for rule in rules
    ]
    suite = gx.ExpectationSuite(name=name, expectations=expectations)
    formats = {"result_format": "COMPLETE", "unexpected_index_column_names": ["id"]}
    outcome = _batch(name, table).validate(suite, result_format=formats)
    by_rule = {_rule_of(result): result for result in outcome.results}
    return tuple(_verdict(rule, by_rule[rule.name]) for rule in rules)


def _batch(name: str, table: pd.DataFrame) -> "Batch":
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("tables").add_dataframe_asset(name)
    return asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": table})


def _rule_of(outcome: Any) -> str:
    return str(outcome.expectation_config.meta["rule"])


def _verdict(rule: Rule, outcome: Any) -> RuleResult:
    rows = [str(entry["id"]) for entry in outcome.result.get("unexpected_index_list") or []]
    return RuleResult(
        name=rule.name,
        success=bool(outcome.success),
        observed=_observed(outcome),
        failing_rows=tuple(dict.fromkeys(rows))[:MAX_FAILING_ROWS],
        remedy=rule.remedy,
    )


def _observed(outcome: Any) -> str:
    result = outcome.result
    if not result:
        return f"could not be evaluated: {_exception(outcome.exception_info)}"
    if "unexpected_count" not in result:
        return f"{result['observed_value']} rows"
    count, total = result["unexpected_count"], result["element_count"]
    if not count:
        return f"{total} rows"
    examples = list(dict.fromkeys(str(value) for value in result["partial_unexpected_list"]))[:_EXAMPLES]
    return f"{count} of {total} rows, e.g. {'; '.join(examples)}"


def _exception(info: Any) -> str:
    entry = info if "exception_message" in info else next(iter(info.values()), {})
    return str(entry.get("exception_message") or "unknown").splitlines()[0]
