import pytest

from rnn_lab.tasks.language_modeling.tokenizer import LINE_END, LMTokenizer
from rnn_lab.text.tokenizer import TokenizerConfig

KINDS = ["words", "whitespace", "characters", "bpe", "unigram"]


@pytest.mark.parametrize("kind", KINDS)
def test_text_of_encoded_lines_is_the_lines(kind):
    lines = ["so it goes", "", "it goes on and on"] * 20
    tokenizer = LMTokenizer.learn(TokenizerConfig(kind, lowercase=False), lines)
    ids = tokenizer.encode_lines(lines)
    assert ids.count(LINE_END) == len(lines)
    assert tokenizer.text(ids) == "\n".join(lines) + "\n"


def test_decoding_gives_the_tokens_with_line_ends():
    tokenizer = LMTokenizer.learn(TokenizerConfig("whitespace", lowercase=False), ["a b"])
    assert tokenizer.decode(tokenizer.encode_lines(["b a", "c"])) == [
        "b", "a", "<eos>", "<unk>", "<eos>",
    ]  # fmt: skip
