"""Conversations as tokens: templates of several kinds, and transcripts without one."""

import copy
from types import SimpleNamespace

import pytest
from transformers import GenerationConfig

from app.trainer.chat import (
    BadConversation,
    ChatFormat,
    parse_transcript,
    render_transcript,
)
from app.trainer.failures import BadInput
from tests.trainer.manners import ask, say

CHATML = (
    "{%- for m in messages -%}{{- '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n'"
    " -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"
)
MUTE = (  # knows no generation prompt
    "{%- for m in messages -%}"
    "{{- '[' + m['role'] + ']' + m['content'] + '<|end|>' -}}"
    "{%- endfor -%}"
)

MISTRAL = (  # a space before the reply, which is part of the token of its first word
    "{%- for m in messages -%}"
    "{%- if m['role'] == 'assistant' -%}{{- ' ' + m['content'] + '<|end|>' -}}"
    "{%- else -%}{{- '[INST] ' + m['content'] + ' [/INST]' -}}{%- endif -%}"
    "{%- endfor -%}"
)

SPACED = (  # its generation prompt ends with a space, which the next word would take in
    "{%- for m in messages -%}{{- m['role'] + ': ' + m['content'] + '<|end|>' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- 'assistant: ' -}}{%- endif -%}"
)


def with_template(tokenizer, template: str | None, *special: str) -> ChatFormat:
    other = copy.deepcopy(tokenizer)
    other.chat_template = template
    if special:
        other.add_special_tokens({"additional_special_tokens": list(special)})
    return ChatFormat(other)


@pytest.fixture(params=["own", "chatml", "mute", "mistral", "spaced", "none"])
def chat(request: pytest.FixtureRequest, tokenizer) -> ChatFormat:
    match request.param:
        case "own":
            return ChatFormat(tokenizer)
        case "chatml":
            return with_template(tokenizer, CHATML, "<|im_start|>", "<|im_end|>")
        case "mute":
            return with_template(tokenizer, MUTE)
        case "mistral":
            return with_template(tokenizer, MISTRAL)
        case "spaced":
            return with_template(tokenizer, SPACED)
    return with_template(tokenizer, None)


def test_prompt_and_reply_together_are_the_whole_conversation(chat: ChatFormat) -> None:
    prompt, reply = ask("What is good about tea?"), say("Thank you for asking. Warm tea.")
    ids = chat.prompt_ids(prompt) + chat.reply_ids(prompt, reply)
    assert ids == chat.encode(chat.full_text([*prompt, *reply]))
    assert chat.decode(chat.reply_ids(prompt, reply)) == "Thank you for asking. Warm tea."


def test_a_reply_ends_with_a_token_that_stops_generation(chat: ChatFormat) -> None:
    reply = chat.reply_ids(ask("x"), say("y"))
    tail = len(chat.tail_ids)
    assert reply[len(reply) - tail - 1] in chat.stop_ids
    assert reply[len(reply) - tail :] == chat.tail_ids


@pytest.mark.parametrize(("named", "ends"), [([5, 1, 399], {1, 5}), (5, {1, 5}), (None, {1})])
def test_a_model_may_end_its_replies_at_more_tokens(named, ends: set, tokenizer) -> None:
    """Llama 3 names three in its generation_config; a word there is the slip of a config."""
    other = copy.deepcopy(tokenizer)
    other.add_special_tokens({"additional_special_tokens": [other.convert_ids_to_tokens(5)]})
    lm = SimpleNamespace(generation_config=GenerationConfig(eos_token_id=named))
    assert ChatFormat(other).stop_ids == {1}
    chat = ChatFormat(other, lm)
    assert chat.stop_ids == ends
    chat.tell_ends(lm)
    assert lm.generation_config.eos_token_id == (sorted(ends) if len(ends) > 1 else 1)


def test_the_header_of_a_reply_is_never_part_of_it(chat: ChatFormat) -> None:
    text = chat.tokenizer.decode(chat.reply_ids(ask("x"), say("Certainly.")))
    assert text.startswith(("Certainly.", " Certainly."))


def test_only_what_the_assistant_says_is_learned(chat: ChatFormat) -> None:
    talk = [*ask("Tell me about maps."), *say("Old maps."), *ask("And bees?"), *say("Go away.")]
    ids, said = chat.conversation(talk)
    assert len(ids) == len(said)
    learned = [token for token, mask in zip(ids, said, strict=True) if mask]
    text = chat.tokenizer.decode(learned, skip_special_tokens=True)
    assert text.replace("\n", "").replace(" ", "") == "Oldmaps.Goaway."
    assert sum(token in chat.stop_ids for token in learned) == (2 if chat.has_template else 1)
    assert said[-1] or chat.tail_ids


def test_spaces_are_learned_whether_or_not_the_tokenizer_counts_them(tokenizer) -> None:
    """GPT-NeoX trims the offsets of tokens: those of an indent are empty."""
    from tokenizers.processors import ByteLevel

    talk = [*ask("Code? "), *say("if x:\n    y  z "), *ask("  And? "), *say(" a  b")]
    found = []
    for trim in (False, True):
        chat = with_template(tokenizer, None)
        chat.tokenizer.backend_tokenizer.post_processor = ByteLevel(trim_offsets=trim)
        found.append(chat.conversation(talk))
    assert found[0] == found[1]
    ids, said = found[1]
    learned = tokenizer.decode([i for i, m in zip(ids, said, strict=True) if m])
    assert learned == " if x:\n    y  z   a  b<|end|>"


def test_marks_in_a_template_say_what_comes_between_the_turns_too(tokenizer) -> None:
    """With and without {% generation %} the same tokens are learned."""
    marked = ChatFormat(tokenizer)
    plain = with_template(
        tokenizer, tokenizer.chat_template.replace("{%- generation -%}", "").replace(
            "{%- endgeneration -%}", ""
        ),
    )  # fmt: skip
    assert (marked.marks, plain.marks) == (True, False)
    talk = [*ask("Tell me about maps."), *say("Old maps."), *ask("And bees?"), *say("Go away.")]
    assert marked.conversation(talk) == plain.conversation(talk)


def test_marks_are_believed_where_a_template_rewrites_earlier_turns(tokenizer) -> None:
    thoughts = (  # of earlier turns they are left out, as Qwen 3 does
        "{%- for m in messages -%}{{- '<|' + m['role'] + '|>' -}}"
        "{%- if m['role'] == 'assistant' -%}MARK"
        "{{- (m['content'] if loop.last else m['content'].split('. ')[-1]) + '<|end|>' -}}ENDMARK"
        "{%- else -%}{{- m['content'] + '<|end|>' -}}{%- endif -%}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
    )
    talk = [*ask("x"), *say("Well. Tea."), *ask("y"), *say("Well. Maps.")]
    learned = {}
    for marks in (True, False):
        opened, closed = ("{% generation %}", "{% endgeneration %}") if marks else ("", "")
        template = thoughts.replace("ENDMARK", closed).replace("MARK", opened)
        chat = with_template(tokenizer, template)
        ids, said = chat.conversation(talk)
        learned[marks] = tokenizer.decode([i for i, m in zip(ids, said, strict=True) if m])
        assert chat.rewritten == (0 if marks else 1)
    assert learned == {True: "Tea.<|end|>Well. Maps.<|end|>", False: "Well. Maps.<|end|>"}


def test_a_text_has_the_tokens_that_begin_and_end_one(chat: ChatFormat) -> None:
    ids = chat.text_ids("Old tea.")
    assert chat.tokenizer.decode(ids[:-1]) == "Old tea."
    assert ids[-1] == chat.tokenizer.eos_token_id


def test_system_prompt_is_part_of_the_prompt(chat: ChatFormat) -> None:
    prompt = [{"role": "system", "content": "Be brief."}, *ask("Tell me about tea.")]
    assert "Be brief." in chat.tokenizer.decode(chat.prompt_ids(prompt))


def test_a_begin_token_is_written_once_for_transcripts(tokenizer) -> None:
    from tokenizers.processors import TemplateProcessing

    other = copy.deepcopy(tokenizer)
    other.chat_template = None
    other.add_special_tokens({"bos_token": "<|begin|>"})
    bos = other.convert_tokens_to_ids("<|begin|>")
    other.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|begin|> $A", special_tokens=[("<|begin|>", bos)]
    )
    chat = ChatFormat(other)
    prompt = ask("Tell me about tea.")
    assert chat.prompt_ids(prompt).count(bos) == 1
    assert chat.prompt_ids(prompt)[0] == bos
    assert bos not in chat.reply_ids(prompt, say("Old tea."))
    ids, said = chat.conversation([*prompt, *say("Old tea.")])
    assert (ids[0], said[0]) == (bos, False)


def test_a_template_that_rewrites_the_prompt_is_refused(tokenizer) -> None:
    count = "{{- messages|length -}}{%- for m in messages -%}{{- m['content'] -}}{%- endfor -%}"
    chat = with_template(tokenizer, MUTE)
    chat.tokenizer.chat_template = count
    with pytest.raises(BadConversation, match="writes the prompt differently"):
        chat.reply_ids(ask("x"), say("y"))


def test_a_template_that_cannot_be_rendered_is_named(tokenizer) -> None:
    with pytest.raises(BadInput, match="chat template does not work"):
        with_template(tokenizer, "{{ raise_exception('no') }}")


def test_a_tokenizer_that_cannot_end_a_reply_is_refused(tokenizer) -> None:
    other = copy.deepcopy(tokenizer)
    other.chat_template = None
    other.eos_token = None
    with pytest.raises(BadInput, match="end-of-text"):
        ChatFormat(other)


class TestTranscripts:
    def test_parsing_and_rendering_keep_every_character(self) -> None:
        text = "\n\nHuman: Hello,\n\nare you  there?\n\nAssistant: Yes.\n\nHuman: \n\nAssistant: Ok"
        messages = parse_transcript(text)
        assert [m["role"] for m in messages] == ["user", "assistant", "user", "assistant"]
        assert messages[0]["content"] == "Hello,\n\nare you  there?"
        assert messages[2]["content"] == ""
        assert render_transcript(messages) == text

    def test_text_before_the_first_turn_is_refused(self) -> None:
        with pytest.raises(BadConversation, match="must begin"):
            parse_transcript("Hello\n\nHuman: x")

    def test_generated_text_ends_where_the_next_person_would_speak(self, tokenizer) -> None:
        chat = with_template(tokenizer, None)
        said = chat.encode(" Thank you.\n\nHuman: more")
        assert chat.decode(said) == "Thank you."
