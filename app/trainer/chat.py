"""Conversations as tokens: by the tokenizer's chat template, or as HH transcripts without one."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from app.trainer.failures import BadInput

Message = dict[str, str]
Messages = Sequence[Message]

HH_ROLES = {"system": "System", "user": "Human", "assistant": "Assistant"}
HH_NAMES = {name: role for role, name in HH_ROLES.items()}
HALF = "it holds half a character, which is no text"  # half of a surrogate pair
MARKS = re.compile(r"{%-?\s*(\w+)\s*-?%}")  # statements of one word, as {% generation %}
PROBE = "touchstone"  # a reply whose place in the rendered text shows what surrounds replies


class BadConversation(ValueError):
    """One row that cannot be rendered; the caller says which."""


def parse_transcript(text: str) -> list[Message]:
    r"""Split "\n\nHuman: …\n\nAssistant: …" into messages; white space stays as it is."""
    messages: list[Message] = []
    for part in ("\n\n" + text.lstrip("\n")).split("\n\n"):
        name, colon, content = part.partition(":")
        if colon and name in ("Human", "Assistant"):
            messages.append({"role": HH_NAMES[name], "content": content.removeprefix(" ")})
        elif messages:
            messages[-1]["content"] += "\n\n" + part
        elif part:
            raise BadConversation("a transcript must begin with a Human or Assistant turn")
    return messages


def render_transcript(messages: Messages) -> str:
    r"""Messages as HH text, each turn opened by a blank line and its role."""
    turns = ((HH_ROLES.get(m["role"], m["role"].title()), m["content"]) for m in messages)
    return "".join(f"\n\n{name}: {content}" for name, content in turns)


def readable(messages: Messages) -> str:
    """A prompt as people read it: the bare text, or the turns with their roles."""
    if len(messages) == 1:
        return messages[0]["content"]
    return "\n\n".join(f"{m['role']}: {m['content']}" for m in messages)


def with_spaces(offsets: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Offsets of tokens in a text; some tokenizers (GPT-NeoX) count no space before a word.

    A token of spaces alone, such as an indent, begins where the one before it ends.
    """
    last = 0
    for begin, end in offsets:
        yield (last if begin == end else begin), end
        last = end


class ChatFormat:
    """How one tokenizer writes conversations.

    A reply begins where the generation prompt ends and includes the token that ends the turn, so
    that what is trained is exactly what generation produces after the same prompt.
    """

    def __init__(self, tokenizer: Any, lm: Any = None) -> None:
        """Read the template; `lm` may name more tokens at which it ends a reply."""
        self.tokenizer = tokenizer
        self.has_template = bool(tokenizer.chat_template)
        if not self.has_template and tokenizer.eos_token_id is None:
            raise BadInput(
                "The tokenizer has neither a chat template nor an end-of-text token, so replies "
                "could not be ended. Set eos_token in its tokenizer_config.json."
            )
        self._header = "" if self.has_template else "\n\nAssistant:"
        if self.has_template:
            self._header = self._missing_generation_prompt()
        self.marks = "generation" in MARKS.findall(str(tokenizer.chat_template))
        self.rewritten = 0  # assistant turns that cannot be learned from
        self.lead = self._lead()
        self.stop_ids, self.tail_ids = self._end_of_turn()
        self.stop_ids |= self._ends_of(lm)

    # -- text ---------------------------------------------------------------------------------

    def prompt_text(self, messages: Messages) -> str:
        """The conversation up to and with the generation prompt."""
        if not self.has_template:
            return render_transcript(messages) + self._header
        return self._render(messages, add_generation_prompt=True) + self._header

    def full_text(self, messages: Messages) -> str:
        """The whole conversation; without a template an end token closes it."""
        if not self.has_template:
            return render_transcript(messages) + str(self.tokenizer.eos_token)
        return self._render(messages, add_generation_prompt=False)

    def _render(self, messages: Messages, *, add_generation_prompt: bool) -> str:
        return str(
            self._apply(messages, tokenize=False, add_generation_prompt=add_generation_prompt)
        )

    def _apply(self, messages: Messages, **more: bool) -> Any:
        try:
            return self.tokenizer.apply_chat_template(list(messages), **more)
        except Exception as error:  # a template may raise anything
            if any("\ud800" <= c <= "\udfff" for m in messages for c in m["content"]):
                raise BadConversation(HALF) from error
            raise BadConversation(f"the chat template refuses it ({error})") from error

    def _missing_generation_prompt(self) -> str:
        """What a template without a generation prompt writes before a reply; else nothing."""
        user = [{"role": "user", "content": "x"}]
        try:
            bare = self._render(user, add_generation_prompt=False)
            if self._render(user, add_generation_prompt=True) != bare:
                return ""
            full = self._render(
                [*user, {"role": "assistant", "content": PROBE}], add_generation_prompt=False
            )
        except BadConversation as error:
            raise BadInput(f"The model's chat template does not work: {error}.") from error
        if not full.startswith(bare) or PROBE not in full[len(bare) :]:
            return ""
        # a space before the reply is left to it: the token of its first word has it, too
        return full[len(bare) : full.index(PROBE, len(bare))].rstrip(" ")

    # -- tokens -------------------------------------------------------------------------------

    def encode(self, text: str) -> list[int]:
        """Token ids of rendered text, without any token the text does not spell."""
        return list(self._tokens(text)["input_ids"])

    def text_ids(self, text: str) -> list[int]:
        """A text that is no conversation, with the tokens that begin and end one."""
        ids = list(self._tokens(text, add_special_tokens=True)["input_ids"])
        end = self.tokenizer.eos_token_id
        return ids if end is None or ids[-1:] == [end] else [*ids, end]

    def _tokens(self, text: str, **more: bool) -> Any:
        try:
            return self.tokenizer(text, **({"add_special_tokens": False} | more))
        except (TypeError, UnicodeEncodeError) as error:
            raise BadConversation(HALF) from error

    def decode(self, ids: Sequence[int]) -> str:
        """The words of a generated reply, without control tokens and surrounding space."""
        text = str(self.tokenizer.decode(list(ids), skip_special_tokens=True))
        if not self.has_template:
            text = text.split("\n\nHuman:", maxsplit=1)[0]
        return text.strip()

    def prompt_ids(self, messages: Messages) -> list[int]:
        return self.lead + self.encode(self.prompt_text(messages))

    def reply_ids(self, prompt: Messages, reply: Messages) -> list[int]:
        """Tokens that follow `prompt_ids(prompt)` when the model says `reply`."""
        before = self.prompt_text(prompt)
        full = self.full_text([*prompt, *reply])
        if not full.startswith(before):
            raise BadConversation("the chat template writes the prompt differently before a reply")
        head, whole = self.encode(before), self.encode(full)
        if whole[: len(head)] == head:
            return whole[len(head) :]
        return self.encode(full[len(before) :])  # a merge across the boundary: split there

    def conversation(self, messages: Messages) -> tuple[list[int], list[bool]]:
        """All tokens and which of them the assistant says: `(ids, said)` of equal length.

        Every turn of the assistant counts, each with the token that ends it, as in TRL's
        `assistant_only_loss`. A template that marks them with {% generation %} is believed;
        elsewhere a turn is what comes between the conversation up to it and the one with it.
        """
        if self.marks:
            marked = self._apply(messages, return_dict=True, return_assistant_tokens_mask=True)
            return list(marked["input_ids"]), [bool(m) for m in marked["assistant_masks"]]
        full = self.full_text(messages)
        spans = []
        for i, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            start, upto = self.prompt_text(messages[:i]), self._upto(messages, i)
            if full.startswith(start) and full.startswith(upto):
                spans.append((len(start), len(upto)))
            elif i == len(messages) - 1:  # earlier turns may be rewritten (hidden thoughts)
                raise BadConversation("the chat template rewrites the conversation before a reply")
            else:
                self.rewritten += 1
        ids, places = self._placed(full, [begin for begin, _ in spans])
        said = [
            end > begin and any(a <= begin and end <= b for a, b in spans) for begin, end in places
        ]
        return self.lead + ids, [False] * len(self.lead) + said

    def _placed(self, text: str, starts: Sequence[int]) -> tuple[list[int], list[tuple[int, int]]]:
        """Tokens and their places, split at the starts of replies that one would reach over."""
        encoded = self._tokens(text, return_offsets_mapping=True)
        ids, places = list(encoded["input_ids"]), list(with_spaces(encoded["offset_mapping"]))
        over = {s for s in starts if any(begin < s < end for begin, end in places)}
        if not over:
            return ids, places
        ids, places = [], []
        for part in pairwise([0, *sorted(over), len(text)]):
            encoded = self._tokens(text[slice(*part)], return_offsets_mapping=True)
            ids += encoded["input_ids"]
            places += [
                (part[0] + a, part[0] + b) for a, b in with_spaces(encoded["offset_mapping"])
            ]
        return ids, places

    def _upto(self, messages: Messages, i: int) -> str:
        """The text up to the end of turn `i`; only the last turn of a transcript has its end."""
        if self.has_template or i == len(messages) - 1:
            return self.full_text(messages[: i + 1])
        return render_transcript(messages[: i + 1])

    def _lead(self) -> list[int]:
        """A begin token for plain transcripts, where the tokenizer asks for one."""
        bos = self.tokenizer.bos_token_id
        if self.has_template or bos is None:
            return []
        return [bos] if self.tokenizer("x")["input_ids"][:1] == [bos] else []

    def _end_of_turn(self) -> tuple[frozenset[int], list[int]]:
        """Tokens that end a reply, and what the template still writes behind them."""
        eos = self.tokenizer.eos_token_id
        stops = set() if eos is None else {int(eos)}
        if not self.has_template:
            return frozenset(stops), []
        try:
            reply = self.reply_ids(
                [{"role": "user", "content": "x"}], [{"role": "assistant", "content": PROBE}]
            )
        except BadConversation as error:
            raise BadInput(f"The model's chat template does not work: {error}.") from error
        special = self._special()
        marks = [i for i, token in enumerate(reply) if token in special]
        words = len(self.encode(PROBE))
        marks = [i for i in marks if i >= words - 1]
        if not marks:
            return frozenset(stops), []
        end = next((i for i in marks if reply[i] in stops), marks[0])
        return frozenset(stops | {int(reply[end])}), reply[end + 1 :]

    def tell_ends(self, lm: Any) -> None:
        """Write into the model where its replies end, for whatever else generates with it."""
        settings = getattr(lm, "generation_config", None)
        if settings is not None and self.stop_ids:
            ends = sorted(self.stop_ids)
            settings.eos_token_id = ends if len(ends) > 1 else ends[0]

    def _special(self) -> set[int]:
        return set(self.tokenizer.all_special_ids) | set(self.tokenizer.added_tokens_decoder)

    def _ends_of(self, lm: Any) -> set[int]:
        """What the model's generation_config ends at (Llama 3 names three), words left out."""
        named = getattr(getattr(lm, "generation_config", None), "eos_token_id", None)
        every = named if isinstance(named, list) else [named]
        return self._special() & set(every)
