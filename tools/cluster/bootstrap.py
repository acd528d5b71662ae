"""Makes the base images with debootstrap, once per user: a minute for Debian, half a minute for each image.

All of it happens in mount and process namespaces of its own, so an interrupted run leaves no mount and no process.
"""

import contextlib
import dataclasses
import fcntl
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tools.cluster import archive
from tools.cluster.base_images import BASE_IMAGES, BaseImage
from tools.cluster.commands import run
from tools.stack.binaries import progress

SUITE = "trixie"
UNFINISHED = "unfinished-"
ALONE = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--", "nice", "-n", "10")
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
INSTALL = """
set -eu
root=$1; script=$2; shift 2
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
cp /etc/resolv.conf "$root/etc/resolv.conf"
printf '#!/bin/sh\\nexit 101\\n' > "$root/usr/sbin/policy-rc.d"; chmod 755 "$root/usr/sbin/policy-rc.d"
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
chroot "$root" apt-get -q update
chroot "$root" apt-get -q install --yes --no-install-recommends "$@"
chroot "$root" sh -eu -c "$script"
chroot "$root" apt-get clean
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/usr/share/doc/* "$root"/usr/share/man/* \\
  "$root"/usr/share/locale/* "$root"/tmp/* "$root"/var/log/*.log "$root"/usr/sbin/policy-rc.d "$root"/etc/resolv.conf
"""


def archives(folder: Path) -> list[Path]:
    """Return the base images' archives, making those that are missing."""
    folder.mkdir(parents=True, exist_ok=True)
    with _only_one_maker(folder):
        for image in _missing(folder):
            _make(image, folder)
    return [folder / image.file for image in BASE_IMAGES]


@contextlib.contextmanager
def _only_one_maker(folder: Path) -> Iterator[None]:
    """Two clusters may start at once; whoever is alone here may remove what a killed run left half done."""
    with (folder / "images.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for unfinished in folder.glob(f"{UNFINISHED}*"):
            shutil.rmtree(unfinished)
        yield


def _missing(folder: Path) -> Iterable[BaseImage]:
    return [image for image in BASE_IMAGES if not (folder / image.file).exists()]


def _make(image: BaseImage, folder: Path) -> None:
    debian = _debian(folder)
    print(f"Making the base image {image.name} from Debian packages, once on this machine.", flush=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=UNFINISHED) as scratch, progress(f"making {image.name}"):
        root, layer = Path(scratch, "root"), Path(scratch, "layer.tar")
        root.mkdir()
        meaning = f"the image {image.name} cannot be made"
        run(["tar", "--numeric-owner", "-C", root, "-xpf", debian], meaning=meaning)
        install: list[str | Path] = [*ALONE, "sh", "-c", INSTALL, "install", root, image.script, *image.packages]
        run(install, meaning=meaning, log=folder / f"{image.stem}.log")
        _trust_what_we_trust(root)
        _pack(root, layer, meaning)
        settings = dataclasses.replace(image.settings, Labels=image.labels)
        archive.write(folder / image.file, name=image.name, layer=layer, settings=settings)
    _remove_older(image, folder)


def _remove_older(image: BaseImage, folder: Path) -> None:
    for file in folder.glob(f"{image.stem}-*.tar"):
        if file.name != image.file:
            file.unlink()


def _debian(folder: Path) -> Path:
    """Return a plain Debian as a tar file, which all images begin with."""
    target = folder / f"{SUITE}-root.tar"
    if target.exists():
        return target
    print(f"Fetching Debian {SUITE} with debootstrap: about a minute, once on this machine.", flush=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=UNFINISHED) as scratch, progress("debootstrap"):
        root, unfinished = Path(scratch, "root"), Path(scratch, "root.tar")
        fetch: list[str | Path] = [*ALONE, "debootstrap", "--variant=minbase", "--include=ca-certificates", SUITE, root]
        run(fetch, meaning="there is nothing to make images from", log=folder / "debootstrap.log")
        _pack(root, unfinished, "there is nothing to make images from")
        unfinished.rename(target)
    return target


def _pack(root: Path, target: Path, meaning: str) -> None:
    skipped: Sequence[str] = ("--exclude=./dev/*", "--exclude=./proc/*", "--exclude=./sys/*")
    run(["tar", "--numeric-owner", "--sort=name", *skipped, "-C", root, "-cpf", target, "."], meaning=meaning)


def _trust_what_we_trust(root: Path) -> None:
    """Behind a proxy that signs by itself, pip works in an image only with the machine's own authorities."""
    if AUTHORITIES.exists():
        shutil.copyfile(AUTHORITIES, root / AUTHORITIES.relative_to("/"))
