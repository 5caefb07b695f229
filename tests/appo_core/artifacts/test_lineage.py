import json
import re
from pathlib import Path

import pytest

from appo_core.artifacts import ArtifactNotFound, Manifest, Store, lineage, render_mermaid, render_text, to_json
from tests.drafts import make_draft


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "store"))


@pytest.fixture
def report(store: Store, tmp_path: Path) -> Manifest:
    """data -> sft-model -> rl-checkpoint (which also uses data) -> eval-report."""
    data = store.publish(make_draft(tmp_path, metrics={"rows": 3, "note": 'a "b" [c]'}))
    sft = store.publish(
        make_draft(tmp_path, kind="sft-model", parents=(data.parent("data"),), metrics={"loss": 0.123456})
    )
    parents = (sft.parent("model"), data.parent("data"))
    rl = store.publish(make_draft(tmp_path, kind="rl-checkpoint", parents=parents))
    return store.publish(
        make_draft(tmp_path, kind="eval-report", parents=(rl.parent("checkpoint"),), metrics={"pass@1": 0.5})
    )


def test_the_graph_reaches_the_data_and_shares_nodes(store: Store, report: Manifest) -> None:
    root = lineage(store, "eval-report/demo")
    assert [node.ref.kind for node in root.walk()] == ["eval-report", "rl-checkpoint", "sft-model", "dataset"]
    model, data = (edge.node for edge in root.parents[0].node.parents)
    assert model.parents[0].node is data


def test_text_is_a_tree(store: Store, report: Manifest) -> None:
    lines = render_text(lineage(store, report.ref)).splitlines()
    assert [line.split("@")[0] for line in lines] == [
        "eval-report/demo",
        "└── checkpoint: rl-checkpoint/demo",
        "    ├── model: sft-model/demo",
        "    │   └── data: dataset/demo",
        "    └── data: dataset/demo",
    ]
    assert lines[0].endswith("pass@1=0.5")
    assert lines[2].endswith("loss=0.1235")
    assert lines[4].endswith("(shown above)")


def test_missing_parents_are_marked(store: Store, report: Manifest) -> None:
    data = store.find("dataset/demo")
    store.backend.remove(f"dataset/demo/versions/{data.version}")
    root = lineage(store, report.ref)
    assert "MISSING" in render_text(root)
    assert "missing" in render_mermaid(root)
    assert [node["missing"] for node in to_json(root)["nodes"]] == [False, False, False, True]
    problems = {str(problem) for problem in store.verify(store.find("sft-model/demo").ref)}
    assert problems == {f"{store.find('sft-model/demo').ref}: its parent {data.ref} (data) is not in the store"}
    with pytest.raises(ArtifactNotFound):
        lineage(store, data.ref)


def test_mermaid_names_every_node_and_escapes_labels(store: Store, report: Manifest) -> None:
    chart = render_mermaid(lineage(store, report.ref), lambda manifest: f"/v2/artifacts/key/{manifest.kind}")
    assert chart.startswith("flowchart LR\n")
    assert len(re.findall(r"^  n\d+\[", chart, re.MULTILINE)) == 4
    assert len(re.findall(r"-->\|\w+\|", chart)) == 4
    assert 'click n0 href "/v2/artifacts/key/eval-report"' in chart
    assert "note=a #34;b#34; #91;c#93;" in chart


def test_json_holds_nodes_and_edges(store: Store, report: Manifest) -> None:
    plain = json.loads(json.dumps(to_json(lineage(store, report.ref))))
    assert plain["root"] == str(report.ref)
    assert {(edge["child"].split("/")[0], edge["role"]) for edge in plain["edges"]} == {
        ("eval-report", "checkpoint"),
        ("rl-checkpoint", "model"),
        ("rl-checkpoint", "data"),
        ("sft-model", "data"),
    }
    assert plain["nodes"][0]["metrics"] == {"pass@1": 0.5}
