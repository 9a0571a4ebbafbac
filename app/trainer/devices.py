"""Prints what torch finds on this machine, as one line of JSON: {"gpus": [{name, memory}]}.

A script of its own, so that the worker knows its GPUs without loading torch.
"""

import json
import sys


def main() -> int:
    import torch  # noqa: PLC0415 - not for who imports this file

    found = [
        torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())
    ]
    gpus = [{"name": gpu.name, "memory": gpu.total_memory} for gpu in found]
    print(json.dumps({"gpus": gpus, "torch": torch.__version__}))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
