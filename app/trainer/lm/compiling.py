"""Parts of a model that torch compiles: what stands between matrix products, in few kernels."""

from typing import Any

PARTS = ("Norm", "MLP")  # how models name them


def compile_parts(model: Any, **options: Any) -> None:
    """Compile norms and feed-forward parts, the same code for every layer.

    Attention is left out, which goes by what a mask carries; so is a part with hooks, which the
    last layer has.
    """
    for part in model.modules():
        if type(part).__name__.endswith(PARTS) and not part._forward_pre_hooks:  # noqa: SLF001
            part.compile(dynamic=True, **options)
