"""Claims are read from files, and mistakes in them cost one line."""

import re
from pathlib import Path

import pytest
import yaml
from config_index import header

from rnn_lab.claims.claim import read_claim
from rnn_lab.claims.timing import layer_timing
from rnn_lab.commands._configs import shipped_claims, shipped_configs
from rnn_lab.errors import UserError

HYPOTHESIS = {
    **{"text": "it is better", "metric": "test/accuracy", "variant": "b", "than": "a"},
    **{"direction": "higher"},
}
CONTENT = {
    **{"sentence": "B is better", "section": "B", "setting": "Reviews.", "config": "demo"},
    **{"variants": {"a": None, "b": {"model.hidden_dim": 8}}, "hypotheses": [HYPOTHESIS]},
    **{"figure": {"kind": "scores", "metric": "test/accuracy"}},
}


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def written(content):
    Path("mine.yaml").write_text(yaml.safe_dump(content))
    return Path("mine.yaml")


def test_a_claim_is_read_with_its_parts():
    claim = read_claim(written(CONTENT))
    assert claim.name == "mine"
    assert claim.variants == {"a": {}, "b": {"model.hidden_dim": 8}}
    assert (claim.hypotheses[0].sign, claim.figure.kind, claim.options) == (1, "scores", {})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sentense": "x"}, "a claim has no sentense: use name, sentence"),
        ({"section": None}, "a claim needs section"),
        ({"benchmark": "layers"}, "a claim needs either config or benchmark"),
        ({"config": None}, "a claim needs either config or benchmark"),
        ({"config": None, "benchmark": "x"}, "benchmark must be layers, got 'x'"),
        ({"variants": {"a": {}}}, "variants must have at least two names"),
        ({"variants": {"a": {}, "b/c": {}}}, "a variant must be a plain name for a folder"),
        ({"variants": [1]}, "variants must map names to values"),
        ({"hypotheses": []}, "hypotheses must have at least one entry"),
        ({"hypotheses": [HYPOTHESIS | {"than": "c"}]}, "there is no variant c: use a, b"),
        ({"hypotheses": [HYPOTHESIS | {"metric": "x"}]}, "metric must be a score"),
        ({"figure": {"kind": "pie", "metric": "test/f1"}}, "kind must be one of scores"),
        ({"figure": {"kind": "scores"}}, "figure needs metric"),
    ],
    ids=[
        *("unknown", "missing", "both", "neither", "benchmark", "one", "path", "list", "none"),
        *("variant", "metric", "kind", "figure"),
    ],
)
def test_a_mistake_is_named(change, message):
    content = {name: each for name, each in (CONTENT | change).items() if each is not None}
    with pytest.raises(UserError, match=f"mine.yaml: {re.escape(message)}"):
        read_claim(written(content))


@pytest.mark.parametrize(("text", "reason"), [(None, "No such file"), ("a: [", "parsing a flow")])
def test_a_file_that_cannot_be_read_is_named(text, reason):
    if text is not None:
        Path("mine.yaml").write_text(text)
    with pytest.raises(UserError, match=rf"mine.yaml cannot be read: .*{reason}"):
        read_claim(Path("mine.yaml"))


@pytest.mark.parametrize("name", shipped_claims())
def test_a_shipped_claim_names_what_it_measures_and_how_it_is_run(name):
    path = shipped_claims()[name]
    claim = read_claim(path)
    assert claim.config in shipped_configs() or layer_timing(claim)
    assert header(path).fields["Run"] == f"rnn-lab claims {name}"
    compared = {each for h in claim.hypotheses for each in (h.variant, h.than)}
    assert compared == {*claim.variants} - ({"Lengths"} if claim.benchmark else set())
