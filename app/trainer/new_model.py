"""`new`: a tokenizer and a language model from scratch, so that everything runs offline."""

import math
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from app.trainer.chat import BadConversation, ChatFormat, Message
from app.trainer.dataset import as_messages, as_reply, printable, read_records
from app.trainer.failures import BadInput, Cancelled, Diverged, signals
from app.trainer.lm import autocast, pick_device
from app.trainer.lm.soundness import first_broken
from app.trainer.optimization import seed_everything
from app.trainer.run_folder import Progress

PAD, END = "<|pad|>", "<|end|>"
ROLES = ("system", "user", "assistant")
# `generation` marks what the assistant says, for trainers that take their mask from the template.
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '<|' + message['role'] + '|>' -}}"
    "{%- if message['role'] == 'assistant' -%}"
    "{%- generation -%}{{- message['content'] + '" + END + "' -}}{%- endgeneration -%}"
    "{%- else -%}{{- message['content'] + '" + END + "' -}}{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)


@dataclass(frozen=True)
class Size:
    """Shape of a model and its training."""

    vocabulary: int
    hidden: int
    layers: int
    heads: int
    inner: int
    steps: int


SIZES = {
    "tiny": Size(2048, 128, 4, 4, 352, 300),  # about 1 M parameters
    "small": Size(6144, 256, 6, 8, 704, 600),  # about 6.5 M parameters
}
CONTEXT, BLOCK, BATCH = 2048, 256, 16
MOST_TOKENS = 1_000_000
MIN_STEPS, EPOCHS = 60, 12  # of a model whose number of steps is not given


def new_model(
    size: str,
    corpus: Sequence[Path],
    output: Path,
    *,
    steps: int | None = None,
    vocab_size: int | None = None,
    learning_rate: float = 2e-3,
    seed: int = 42,
    device: str = "auto",
) -> None:
    """Train a byte-level BPE tokenizer and a Llama on the corpus; the folder appears when done.

    Raises:
        BadInput: when the corpus cannot be read or holds too little text, or something else is in
            the place of the folder.

    """
    shape = SIZES[size]
    if output.is_file() or (output.is_dir() and any(output.iterdir())):
        raise BadInput(f"{output} already holds files. Choose another --output.")
    fair = 0 < learning_rate <= 1 and 0 <= seed < 2**32 and (steps or 0) >= 0
    if not fair or (vocab_size or 0) > MOST_TOKENS:
        raise BadInput(
            "--learning-rate must be above 0 and at most 1, --seed from 0 to 4294967295, --steps "
            f"0 or more, --vocab-size at most {MOST_TOKENS}."
        )
    seed_everything(seed)
    documents = [document for file in corpus for document in read_documents(file)]
    if sum(len(d) if isinstance(d, str) else 1 for d in documents) == 0:
        raise BadInput("The corpus holds no text.")
    tokenizer = make_tokenizer(documents, shape.vocabulary if vocab_size is None else vocab_size)
    lm: Any = make_lm(shape, tokenizer)
    lm.to(pick_device(device))
    stream = token_stream(documents, tokenizer)
    if steps is None:  # a small corpus is known by heart soon
        steps = min(shape.steps, max(MIN_STEPS, EPOCHS * len(stream) // (BATCH * BLOCK)))
    train_on_text(lm, stream, steps, learning_rate, seed)
    place = output.resolve()
    partial = place.with_name(f".{place.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        lm.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        partial.rename(place)  # an empty folder gives way
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    parameters = sum(p.numel() for p in lm.parameters())
    print(f"{output}: {parameters / 1e6:.2f} M parameters, {len(tokenizer)} tokens.")  # noqa: T201


# -- corpus -----------------------------------------------------------------------------------

Document = str | tuple[Message, ...]


def read_documents(file: Path) -> list[Document]:
    """Texts and conversations of one file: plain text by paragraphs, or JSON lines of any kind.

    A folder stands for all such files in it.
    """
    if file.is_dir():
        names = sorted(p for p in file.rglob("*") if p.is_file() and is_corpus(p))
        return [document for name in names for document in read_documents(name)]
    if not file.is_file():
        raise BadInput(f"The corpus file {file} does not exist.")
    if not is_corpus(file):
        raise BadInput(f"{file}: a corpus is .txt, .md, .jsonl, .jsonl.gz or .parquet.")
    if file.suffix in (".txt", ".md"):
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"{file} cannot be read: {error}.") from error
        return [part for part in text.split("\n\n") if part.strip()]
    return [
        document for where, record in read_records(file) for document in documents_of(record, where)
    ]


def is_corpus(file: Path) -> bool:
    return file.name.endswith((".txt", ".md", ".jsonl", ".jsonl.gz", ".parquet"))


def documents_of(record: dict[str, Any], where: str) -> Iterator[Document]:
    """The texts in one JSON line: conversations where it has them, else its `text`."""
    if isinstance(record.get("text"), str):
        yield record["text"]
    if record.get("messages"):
        yield as_messages(record["messages"], where, "messages")
    prompt = as_messages(record["prompt"], where, "prompt") if record.get("prompt") else ()
    if isinstance(record.get("system"), str) and prompt:
        prompt = ({"role": "system", "content": record["system"]}, *prompt)
    replies = [record[k] for k in ("chosen", "rejected", "completion", "response") if record.get(k)]
    several = record.get("responses") or []
    if not isinstance(several, list):
        raise BadInput(f"{where}: responses must be a list.")
    replies += several
    for reply in replies:
        if prompt:
            yield (*prompt, *as_reply(reply, where, "reply"))
        else:
            yield as_messages(reply, where, "reply")
    if prompt and not replies:
        yield prompt


# -- tokenizer and model ----------------------------------------------------------------------


def make_tokenizer(documents: Sequence[Document], vocabulary: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE with tokens of its own for padding, the end, and each role."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    special = [PAD, END, *(f"<|{role}|>" for role in ROLES)]
    if vocabulary < 256 + len(special):
        raise BadInput(f"--vocab-size must be at least {256 + len(special)}.")
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(words_of(documents), trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=special[2:],
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def words_of(documents: Sequence[Document]) -> Iterator[str]:
    for document in documents:
        if isinstance(document, str):
            yield printable(document)
        else:
            yield from (printable(message["content"]) for message in document)


def make_lm(shape: Size, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def token_stream(documents: Sequence[Document], tokenizer: PreTrainedTokenizerFast) -> torch.Tensor:
    """All documents one behind the other, each with its end: `(tokens,)`."""
    chat = ChatFormat(tokenizer)
    ids: list[int] = []
    for document in documents:
        try:
            if isinstance(document, str):
                ids += [*chat.encode(document), tokenizer.eos_token_id]
            else:
                ids += chat.encode(chat.full_text(document))
        except BadConversation:
            continue
    if len(ids) < 64:
        raise BadInput(f"The corpus holds only {len(ids)} tokens; give more text.")
    return torch.tensor(ids)


def train_on_text(
    lm: Any, stream: torch.Tensor, steps: int, learning_rate: float, seed: int
) -> None:
    """Next-token prediction on random stretches of the stream, AdamW with a cosine schedule."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(lm.parameters(), lr=learning_rate, weight_decay=0.01)
    warmup = max(1, steps // 20)
    block = min(BLOCK, len(stream) - 1)
    progress = Progress("new model", steps)
    fast = lm.device.type == "cuda" or bool(torch.cpu._is_avx512_bf16_supported())  # noqa: SLF001
    lm.train()
    began = time.perf_counter()
    for step in range(1, steps + 1):
        if signals.came:
            raise Cancelled("Cancelled; nothing was written.")
        starts = torch.randint(len(stream) - block, (BATCH,), generator=generator)
        batch = torch.stack([stream[s : s + block + 1] for s in starts]).to(lm.device)
        rise, fall = step / warmup, 0.5 * (1 + math.cos(math.pi * step / steps))
        optimizer.param_groups[0]["lr"] = learning_rate * min(rise, max(fall, 0.1))
        with autocast(lm.device, bf16=fast):
            logits = lm(input_ids=batch[:, :-1], use_cache=False).logits
        loss = F.cross_entropy(logits.flatten(0, 1).float(), batch[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(lm.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if not torch.isfinite(loss):
            raise Diverged(f"The loss is not a number at step {step}; lower --learning-rate.")
        speed = step * BATCH * block / (time.perf_counter() - began)
        progress.at(step, f"loss {loss.item():.3f}  {speed:.0f} tokens/s")
    progress.end()
    if broken := first_broken(lm):  # which the last update did
        raise Diverged(f"The weights are not numbers any more ({broken}); lower --learning-rate.")
    lm.eval()
