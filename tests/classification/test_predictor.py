from typing import Any

from rnn_lab.classification.predictor import LabelPredictor


class Echo(LabelPredictor):
    """A predictor whose answers are its input."""

    columns = ("text", "label")
    labels = ["a", "b"]  # noqa: RUF012

    @classmethod
    def from_checkpoint(cls, task: Any, data: dict[str, Any]) -> "Echo":
        return cls()

    def _answer(self, raw: list[Any]) -> list[Any]:
        return raw


def test_a_row_has_a_probability_for_each_label() -> None:
    answer = {"text": "x", "label": "a", "probabilities": {"a": 0.75, "b": 0.25}}
    assert Echo().header() == ["text", "label", "probability_a", "probability_b"]
    assert Echo().row(answer) == ["x", "a", 0.75, 0.25]
    assert Echo().text(answer) == "a"


def test_several_labels_are_joined_by_a_vertical_bar() -> None:
    answer = {"text": "x", "label": ["a", "b"], "probabilities": {"a": 0.75, "b": 0.5}}
    assert Echo().text(answer) == "a|b"
    assert Echo().row(answer) == ["x", "a|b", 0.75, 0.5]


def test_an_answer_without_label_has_empty_cells() -> None:
    answer = {"text": "", "label": None, "probabilities": None}
    assert Echo().row(answer) == ["", None, None, None]
    assert Echo().text(answer) == ""


def test_a_predictor_is_shown_with_its_model_and_its_labels() -> None:
    predictor = Echo()
    predictor.task = 1.5
    assert repr(predictor) == "Echo(float, labels: a, b)"
