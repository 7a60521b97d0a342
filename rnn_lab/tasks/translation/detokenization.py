"""Join words and punctuation marks that `rnn_lab.text.tokenizer.split_words` has separated."""

import re

# Marks without a space before them, and without a space after them.
CLOSING = re.compile(r" (?=[.,!?;:%)\]}»”…]+(?: |$))")
OPENING = re.compile(r"(?<![^\s][(\[{«“„¿¡])(?<=[(\[{«“„¿¡]) ")
CONTRACTION = re.compile(r" (?=(?:n't|'(?:s|d|m|re|ve|ll))(?: |$))", re.IGNORECASE)
QUOTED = re.compile(r'(?<!\S)" ([^"]*[^"\s]) "(?![^\s.,!?;:)])')


def join_words(text: str) -> str:
    """Remove the spaces around punctuation marks that a writer would not set.

    Hyphens and apostrophes that stand alone keep their spaces, because the tokens do not show
    whether they joined two words.

    Example:
        >>> join_words("it 's ( not ) over , is it ?")
        "it's (not) over, is it?"
    """
    text = CONTRACTION.sub("", CLOSING.sub("", OPENING.sub("", text)))
    return QUOTED.sub(r'"\1"', text)
