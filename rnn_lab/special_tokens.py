"""Ids that have the same meaning in every vocabulary."""

PAD_ID = 0
UNK_ID = 1
BOS_ID = 2  # only in vocabularies of texts that are generated
EOS_ID = 3
IGNORE_INDEX = -100  # target that does not contribute to the loss
