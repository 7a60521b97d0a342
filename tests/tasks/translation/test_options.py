"""Groups of options of translators."""

import pytest
from jsonargparse import ArgumentParser

from rnn_lab.models import AttentionTranslator, Seq2SeqTranslator, Translator
from rnn_lab.nn import GenerationConfig, ScheduledSampling, Seq2SeqDropouts
from rnn_lab.tasks.translation.options import DecoderConfig, EncoderConfig


def test_the_command_line_sets_single_options_of_groups():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Translator, "model", skip={"optimizer", "scheduler"})
    line = ["--model.src_vocab_size=9", "--model.trg_vocab_size=9", "--model.layer=GRU"]
    line += ["--model.encoder.bidirectional=false", "--model.decoder.attention=general"]
    line += ["--model.dropouts.layer=0.1", "--model.scheduled_sampling.schedule=linear"]
    line += ["--model.search.length_penalty=1.8"]
    model = parser.instantiate_classes(parser.parse_args(line)).model
    assert model.layer == "GRU"
    assert model.encoder == EncoderConfig(bidirectional=False)
    assert model.decoder == DecoderConfig(attention="general")
    assert model.dropouts == Seq2SeqDropouts(layer=0.1)
    assert model.scheduled_sampling == ScheduledSampling("linear")
    assert model.search == GenerationConfig(length_penalty=1.8)


@pytest.mark.parametrize("options", [{"encoder": {"bidirectional": False}}, {"search": {}}])
def test_mappings_and_instances_are_equivalent(options):
    classes = {"encoder": EncoderConfig, "search": GenerationConfig}
    instances = {name: classes[name](**fields) for name, fields in options.items()}
    first = Translator(9, 9, 4, 6, **options)
    second = Translator(9, 9, 4, 6, **instances)
    for name in options:
        assert getattr(first, name) == getattr(second, name) == instances[name]


def test_named_translators_are_fixed_by_their_options():
    assert Seq2SeqTranslator.decoder.attention_position == "none"
    assert not Seq2SeqTranslator.encoder.bidirectional
    assert AttentionTranslator.decoder.attention_position == "between"
    assert AttentionTranslator.encoder.bidirectional
