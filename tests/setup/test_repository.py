"""What a fresh clone promises: targets, files, and nobody's package registry by name."""

import os
import re
import shutil
import subprocess

import pytest
import yaml

from tests.setup.processes import ROOT

REGISTRIES = (
    "pypi" + ".org",
    "pythonhosted" + ".org",
    "download.pytorch" + ".org",
    "npmjs" + ".com",
    "jsdelivr" + ".net",
    "unpkg" + ".com",
)


def make(*arguments):
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
@pytest.mark.parametrize("target", ["install", "run", "test", "check", "bench", "clean"])
def test_make_has_the_targets_of_the_contract(target):
    done = make("--dry-run", target)
    assert done.returncode == 0, done.stderr
    assert f"make {target} " in make("help").stdout


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_run_takes_host_and_port():
    assert (
        "up --demo --host 0.0.0.0 --port 9000"
        in make("-n", "run", "HOST=0.0.0.0", "PORT=9000").stdout
    )


@pytest.mark.parametrize("script", ["install", "browser", "run"])
def test_the_scripts_are_sound_shell(script):
    file = ROOT / ".ci" / script
    assert os.access(file, os.X_OK)
    shell = file.read_text().splitlines()[0].removeprefix("#!").strip()
    assert subprocess.run([shell, "-n", str(file)], check=False).returncode == 0


def test_an_environment_that_cannot_be_made_says_why(tmp_path):
    (tmp_path / ".ci").mkdir()
    for name in ("pyproject.toml", "constraints.txt", ".ci/install"):
        shutil.copy(ROOT / name, tmp_path / name)
    programs = tmp_path / "bin"  # no apt-get among them
    programs.mkdir()
    for name in ("cat", "cksum", "dirname", "grep", "id", "rm", "sed", "tail", "uname"):
        (programs / name).symlink_to(shutil.which(name))
    python = programs / "python3"
    python.write_text(
        "#!/bin/sh\n"
        'case "$*" in -c*) exit 0 ;; --version) echo Python 3.12.1 ;;\n'
        '*venv*) echo "Error: [Errno 28] No space left on device" >&2 ;; esac\nexit 1\n'
    )
    python.chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", str(tmp_path / ".ci/install")],
        env={"PATH": str(programs)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Python cannot make .venv: Error: [Errno 28] No space left on device." in done.stderr
    assert not (tmp_path / ".venv").exists()


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a clone")
def test_no_file_names_a_package_registry():
    listed = subprocess.run(
        ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    assert len(files) > 50
    for file in files:
        content = file.read_bytes() if file.is_file() else b""
        named = [host for host in REGISTRIES if host.encode() in content]
        assert not named, f"{file} names {named}"


def test_containers_start_in_order_and_wait_for_each_other():
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert {"web", "worker", "database"} <= services.keys()
    assert services["database"]["image"] == "postgres:18"
    assert services["database"]["networks"] == ["inside"]  # nobody outside can reach it
    for name in ("web", "worker"):
        waits = services[name]["depends_on"]["setup"]["condition"]
        assert waits == "service_completed_successfully"
        assert services[name]["environment"]["DATABASE_URL"].startswith("postgresql://")
    assert "password" not in services["web"]["environment"]["DATABASE_URL"]


def test_one_service_builds_the_image_that_all_use():
    """Several builds of one name at once can fail, and cost as much again."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    ours = {name for name, service in services.items() if service["image"] == "touchstone"}
    assert ours == {"setup", "web", "worker"}
    assert [name for name, service in services.items() if "build" in service] == ["setup"]


def test_the_image_has_what_the_program_reads():
    """What lies beside the code and is read when it runs, and what is kept out of the build."""
    copied = re.findall(
        r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE
    )
    names = {name for line in copied for name in line.split()}
    assert {"app", "migrations", "static", "templates", "pyproject.toml"} <= names
    assert all((ROOT / name).exists() for name in names)
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".git", ".venv", "var", "touchstone.toml"} <= set(ignored)
    assert not names & set(ignored)


def test_the_image_runs_as_nobody_in_particular():
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    users = [line for line in lines if line.startswith("USER ")]
    assert users == ["USER touchstone"]
    assert any(line.startswith("HEALTHCHECK") for line in lines)
