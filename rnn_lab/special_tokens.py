"""Ids that have the same meaning in every vocabulary."""

PAD_ID = 0
UNK_ID = 1
BOS_ID = 2  # only where a text is also written
EOS_ID = 3
IGNORED = -100  # a target that counts for nothing
