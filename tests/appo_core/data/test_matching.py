from hypothesis import given
from hypothesis import strategies as st

from appo_core.data.contamination import benchmark_index, contaminated
from appo_core.data.duplicates import first_copies


@given(st.lists(st.sampled_from("abcd")))
def test_copies_and_originals_make_up_all_rows(keys: list[str]) -> None:
    copies = first_copies((str(number), key) for number, key in enumerate(keys))
    assert len(keys) - len(copies) == len(set(keys))
    assert all(keys[int(copy)] == keys[int(origin)] for copy, origin in copies.items())
    assert not set(copies) & set(copies.values())


def test_contaminated_names_the_benchmark() -> None:
    index = benchmark_index({"aime24": ["Find $x$."], "gsm8k": ["How many?", "find x"]})
    rows = [("train-0", "find X"), ("train-1", "Find y"), ("train-2", "HOW MANY")]
    assert contaminated(rows, index) == {"train-0": "aime24", "train-2": "gsm8k"}


def test_a_question_without_words_matches_nothing() -> None:
    assert contaminated([("train-0", "!")], benchmark_index({"aime24": ["?"]})) == {}
