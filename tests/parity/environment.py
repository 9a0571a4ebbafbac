"""Environments that hold TRL and share everything else with the environment this runs in.

TRL is installed beside a path to the packages here, so both sides compute with the same torch and
transformers, and making one takes seconds. Where TRL is beside what this runs with already, as on
a machine that can install nothing, that is taken as it is.
"""

import os
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

HOME = Path(__file__).parents[2]
TRL, TRL_WITH_PPO = "1.16.*", "1.12.*"  # 1.12 is the last one that has PPO
FOLDERS = {TRL: ".venv-trl", TRL_WITH_PPO: ".venv-trl-ppo"}

# TRL sends usage figures from __init__ unless it is told not to.
QUIET = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TRL_EXPERIMENTAL_SILENCE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONWARNINGS": "ignore",
}


class NoEnvironment(Exception):
    """TRL cannot be had here; the sentence says why."""


def python_with(version: str) -> Path:
    """Python with this TRL: the one that runs this, else an environment's, made on first use.

    Raises:
        NoEnvironment: when it cannot be installed.

    """
    if found := version_here():
        if is_wanted(found, version):
            return Path(sys.executable)
        raise NoEnvironment(f"TRL {found} is beside what runs here; {version} is wanted.")
    folder = HOME / FOLDERS[version]
    python = folder / "bin" / "python"
    if has_trl(python, version):
        return python
    print(f"Making {folder.name} with TRL {version} …", file=sys.stderr)
    run([sys.executable, "-m", "venv", "--without-pip", "--clear", str(folder)])
    inner = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = Path(run(inner).strip())
    (site / "touchstone.pth").write_text(sysconfig.get_path("purelib") + "\n")
    run(
        [
            *(sys.executable, "-m", "pip", "--python", str(python), "install", "-q"),
            *("-c", str(HOME / "constraints.txt"), f"trl=={version}"),
        ]
    )
    if not has_trl(python, version):
        raise NoEnvironment(f"TRL {version} does not work in {folder}.")
    return python


def version_here() -> str | None:
    """Of TRL on this path, which may be that of the environments too and hide what they hold."""
    try:
        return metadata.version("trl")
    except metadata.PackageNotFoundError:
        return None


def is_wanted(found: str, version: str) -> bool:
    return found.startswith(version.rstrip("*"))


def has_trl(python: Path, version: str) -> bool:
    if not python.exists():
        return False
    code = "from importlib.metadata import version; import torch; print(version('trl'))"
    found = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return found.returncode == 0 and is_wanted(found.stdout, version)


def run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=HOME)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise NoEnvironment(f"TRL cannot be installed here: {' '.join(last)}")
    return done.stdout


def environment(*, threads: int = 1, device: str = "cpu") -> dict[str, str]:
    """Variables for a process of the other environment, which sees at most one GPU by itself."""
    seen = os.environ.get("CUDA_VISIBLE_DEVICES", "0") if device == "cuda" else ""
    return os.environ | QUIET | {"OMP_NUM_THREADS": str(threads), "CUDA_VISIBLE_DEVICES": seen}


if __name__ == "__main__":
    try:
        python_with(TRL)
    except NoEnvironment as error:
        sys.exit(str(error))
