"""Token embeddings of encoders and decoders."""

import torch

from rnn_lab.nn.seq2seq.dropouts import Seq2SeqDropouts
from rnn_lab.nn.seq2seq.embeddings import Embeddings
from rnn_lab.special_tokens import PAD_ID

TOKENS = torch.tensor([[4, 5, PAD_ID], [5, 4, 5]])


def test_padding_is_embedded_as_zeros():
    embedded = Embeddings(8, 6)(TOKENS)
    assert embedded.shape == (2, 3, 6)
    assert (embedded[0, 2] == 0).all()


def test_layer_norm_standardizes_every_embedding():
    embedded = Embeddings(8, 64, layer_norm=True)(TOKENS)
    torch.testing.assert_close(embedded.mean(-1), torch.zeros(2, 3), atol=1e-5, rtol=0)


def test_variational_dropout_drops_the_same_features_at_all_steps():
    torch.manual_seed(0)
    dropouts = Seq2SeqDropouts(input=0.5, variational=True)
    dropped = Embeddings(8, 16, dropouts=dropouts)(torch.full((3, 5), 4)) == 0
    assert dropped.any()
    assert (dropped == dropped[:, :1]).all()


def test_embedding_dropout_drops_tokens_entirely():
    torch.manual_seed(0)
    dropouts = Seq2SeqDropouts(input=0.0, embedding=0.5)
    dropped = Embeddings(40, 6, dropouts=dropouts)(torch.arange(4, 40).expand(3, -1)) == 0
    assert dropped.any()
    assert (dropped.all(-1) == dropped.any(-1)).all()
    assert (dropped == dropped[:1]).all()
