"""Attack 41, what is installed is what was locked: a dependency that was tampered with is not installed.

Signatures of images are checked by whoever admits them to a cluster, which cannot be tried on this kind of machine.
"""

import hashlib
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
INSTALLERS = [ROOT / "tools" / "setup.sh", *sorted(ROOT.glob("*/Dockerfile"))]
_PINNED = re.compile(r"^[a-z0-9][a-z0-9._\[\]-]*==[^\s;\\]+")


def requirements(lock: Path) -> list[str]:
    """Each with its hashes."""
    joined = lock.read_text().replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_attack_41_everything_is_pinned_to_one_version_and_its_hashes(lock: Path) -> None:
    found = requirements(lock)
    assert found
    for line in found:
        assert _PINNED.match(line), line
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", line), line
        assert not re.search(r"https?://|git\+|--index-url|--trusted-host", line), "from an index, by its hash alone"


@pytest.mark.parametrize("installer", INSTALLERS, ids=lambda one: str(one.relative_to(ROOT)))
def test_attack_41_whatever_installs_them_asks_for_the_hashes(installer: Path) -> None:
    text = installer.read_text().replace("\\\n", " ")
    from_locks = [line for line in text.splitlines() if "requirements/" in line and "pip" in line]
    assert from_locks
    assert [line for line in from_locks if "--require-hashes" not in line] == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_attack_41_the_images_and_tests_have_the_same_versions(lock: Path) -> None:
    def versions(one: Path) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for line in requirements(one):
            name, _, rest = line.partition("==")
            found.setdefault(name, set()).add(re.split(r"[\s;]", rest, maxsplit=1)[0])
        return found

    tested = versions(ROOT / "requirements" / "dev.txt")
    other = {name: version for name, version in versions(lock).items() if name in tested}
    assert other == {name: tested[name] for name in other}


def a_wheel(folder: Path) -> Path:
    path = folder / "harmless-1.0-py3-none-any.whl"
    said = "Metadata-Version: 2.1\nName: harmless\nVersion: 1.0\n"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("harmless.py", "HARM = 0\n")
        wheel.writestr("harmless-1.0.dist-info/METADATA", said)
        wheel.writestr("harmless-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("harmless-1.0.dist-info/RECORD", "")
    return path


def install(folder: Path, lock: str) -> "subprocess.CompletedProcess[str]":
    (folder / "lock.txt").write_text(lock)
    options = ["--no-index", "--find-links", str(folder), "--target", str(folder / "there"), "--require-hashes"]
    command = [sys.executable, "-m", "pip", "install", "--quiet", *options, "--requirement", str(folder / "lock.txt")]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)


@pytest.mark.timeout(120)
def test_attack_41_a_package_that_was_tampered_with_is_not_installed(tmp_path: Path) -> None:
    wheel = a_wheel(tmp_path)
    lock = f"harmless==1.0 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"
    assert install(tmp_path, lock).returncode == 0
    (tmp_path / "there" / "harmless.py").unlink()
    with zipfile.ZipFile(wheel, "a") as changed:
        changed.writestr("harm.py", "HARM = 1\n")
    for tampered in (lock, lock.replace("==1.0 --hash", "==1.0 #"), lock.replace("harmless", "harmles")):
        done = install(tmp_path, tampered)
        assert done.returncode != 0, done.stderr
        assert not (tmp_path / "there" / "harm.py").exists()
