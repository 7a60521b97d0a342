"""Join words and punctuation marks that `rnn_lab.text.tokenizer.split_words` has separated."""

import re

# Marks without a space before them, and without a space after them.
CLOSING = re.compile(r" (?=[.,!?;:%)\]}»”…]+(?: |$))")
OPENING = re.compile(r"(?<![^\s][(\[{«“„¿¡])(?<=[(\[{«“„¿¡]) ")
CONTRACTION = re.compile(r" (?=(?:n't|'(?:s|d|m|re|ve|ll))(?!\w))", re.IGNORECASE)
QUOTED = re.compile(r'(?<!\S)" ([^"]*[^"\s]) "(?![^\s.,!?;:)])')
SINGLE_QUOTED = re.compile(r"(?<!\S)' ([^']*[^'\s]) '(?![^\s.,!?;:)])")
GERMAN_QUOTED = re.compile(r"„ ([^„“”]*[^„“”\s]) “")
JOINING = (  # marks without a space on both sides, which are the group `mark`
    re.compile(  # a . m ., z . B .
        r"(?<=(?<!\w)[^\W\d_]) (?P<mark>\.) (?=[^\W\d_] \.(?!\S))"
    ),
    re.compile(r"(?<=(?<!\w)[^\W\d_]) (?P<mark>['\u2019]) (?=\w)"),  # o ' clock, l ' eau
    re.compile(r"(?<=\w) (?P<mark>\u2019) (?=(?:s|t|d|m|re|ve|ll)(?!\w))", re.IGNORECASE),
    re.compile(r"(?<=\w) (?P<mark>[-/]) (?=\w)"),  # well - known, and / or
    re.compile(r"(?<=\d) (?P<mark>,) (?=\d{3}(?!\w))"),  # 3 , 000
    re.compile(r"(?<=\d) (?P<mark>[.:]) (?=\d)"),  # 2 . 5, 12 : 30
)
SUSPENDED = re.compile(r"(?<=\w) - (?=(?:und|oder|bzw|sowie)(?!\w))", re.IGNORECASE)
POSSESSIVE = re.compile(r"(?<=[sxzß]) (?=['\u2019](?: \w|$))", re.IGNORECASE)  # the dogs ' tails
CURRENCY = re.compile(r"(?<!\S)([$£#]) (?=\d)")


def join_words(text: str) -> str:
    """Remove the spaces around punctuation marks that a writer would not set.

    Tokens do not show whether a hyphen or slash between two words had spaces. It is joined to
    both, as nearly all are in English and German, except before a German conjunction ("ein- und
    ausgehen").

    Example:
        >>> join_words("it 's ( not ) over at 5 o ' clock , is it ?")
        "it's (not) over at 5 o'clock, is it?"
        >>> join_words("a well - known t - shirt for $ 3 , 000")
        'a well-known t-shirt for $3,000'
    """
    text = SUSPENDED.sub("- ", CURRENCY.sub(r"\1", text))
    text = GERMAN_QUOTED.sub(lambda match: f"„{CLOSING.sub('', match[1])}“", text)
    for pattern in JOINING:
        text = pattern.sub(r"\g<mark>", text)
    text = CONTRACTION.sub("", CLOSING.sub("", OPENING.sub("", text)))
    text = SINGLE_QUOTED.sub(r"'\1'", QUOTED.sub(r'"\1"', text))
    return POSSESSIVE.sub("", text)
