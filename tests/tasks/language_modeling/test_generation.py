import torch

from rnn_lab.models import LSTMLanguageModel
from rnn_lab.tasks.language_modeling.generation import PromptDecoder, StopString


def test_decoding_after_a_prompt_equals_one_forward_call():
    torch.manual_seed(0)
    task, ids = LSTMLanguageModel(9, 4, 4).eval(), torch.tensor([[0, 5, 3, 7]])
    with torch.no_grad():
        expected = task(ids)[0][:, -1:]
        memory, state = PromptDecoder(task).encode(ids, None)
        logits, _, weights = PromptDecoder(task).decoder(ids[:, -1:], state, memory)
    assert memory is weights is None
    assert logits.dtype == torch.double
    torch.testing.assert_close(logits, expected.double(), atol=1e-5, rtol=1e-5)


def test_a_prompt_of_one_token_has_no_state():
    task = LSTMLanguageModel(9, 4, 4).eval()
    assert PromptDecoder(task).encode(torch.tensor([[0]]), None) == (None, None)


def test_a_stop_string_may_span_several_tokens_of_one_sample():
    stopping = StopString(lambda ids: "".join("abc"[i] for i in ids), "bc", num_samples=2)
    assert stopping(torch.tensor([[1, 1]])).tolist() == [[False, False]]
    assert stopping(torch.tensor([[2, 0]])).tolist() == [[True, False]]
    assert stopping(torch.tensor([[0, 2]])).tolist() == [[True, False]]
