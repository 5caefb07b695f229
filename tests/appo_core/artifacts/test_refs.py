import pytest
from hypothesis import given
from hypothesis import strategies as st

from appo_core.artifacts import KINDS, ArtifactRef, StoreError

names = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True)


@given(st.sampled_from(KINDS), names, names)
def test_text_and_reference_are_one(kind: str, name: str, version: str) -> None:
    ref = ArtifactRef(kind, name, version)
    assert ArtifactRef.parse(str(ref)) == ref


def test_the_version_defaults_to_latest() -> None:
    assert ArtifactRef.parse("model/demo") == ArtifactRef("model", "demo", "latest")


def test_versions_are_told_from_aliases() -> None:
    assert ArtifactRef.parse("model/demo@champion").is_alias
    assert not ArtifactRef.parse("model/demo@v0123456789ab").is_alias


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("demo", "no artifact reference"),
        ("model/", "no artifact reference"),
        ("model/demo@", "no artifact reference"),
        ("modle/demo", "unknown artifact kind 'modle'; choose from dataset"),
        ("model/../x", "artifact name '../x' is not allowed"),
        ("model/Demo", "artifact name 'Demo' is not allowed"),
        ("model/demo@a/b", "version or alias 'a/b' is not allowed"),
        ("", "no artifact reference"),
    ],
)
def test_bad_references_are_explained(text: str, complaint: str) -> None:
    with pytest.raises(StoreError, match=complaint.replace("(", r"\(")) as caught:
        ArtifactRef.parse(text)
    assert "\n" not in str(caught.value)
