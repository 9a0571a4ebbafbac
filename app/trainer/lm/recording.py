"""Work that is the same every time, recorded once and played back without Python between."""

from collections.abc import Callable

import torch


def can_record(device: torch.device) -> bool:
    return device.type == "cuda"


def record(work: Callable[[], None]) -> Callable[[], None]:
    """What does on a CUDA device as `work` does, whose tensors all stay where they are.

    It has been done once before, so that every kernel is loaded. Work that cannot be recorded,
    since it waits for an answer of the device, comes back as it is.
    """
    graph, aside = torch.cuda.CUDAGraph(), torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    try:
        with torch.cuda.stream(aside):
            graph.capture_begin(capture_error_mode="thread_local")
            try:
                work()
            finally:
                graph.capture_end()
    except RuntimeError:
        torch.cuda.synchronize()
        return work
    torch.cuda.current_stream().wait_stream(aside)
    return graph.replay
