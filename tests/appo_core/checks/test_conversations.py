from appo_core.checks.conversations import measure
from tests.appo_core.data.rows import sft_row


def test_a_clean_conversation_has_no_fault() -> None:
    row = measure(sft_row("a"), 1)
    assert (row["id"], row["schema"], row["roles"], row["shape"], row["controls"]) == ("a", None, None, None, None)
    assert row["shortest"] > 0


def test_faults_are_named() -> None:
    row = sft_row()
    row["conversations"][-1]["value"] = "<answer> 4 \x08"
    measured = measure(row, 1)
    assert measured["shape"] == "<answer> is never closed"
    assert measured["controls"] == "U+0008"
    row["conversations"].pop()
    assert measure(row, 1)["roles"] == "ends with observation, not with gpt"
    assert measure({"conversations": []}, 7)["id"] == "line 7"
    assert measure({"conversations": []}, 7)["schema"]
