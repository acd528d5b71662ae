"""Makes the base images out of `tools.stack.debian`, once per user: half a minute for each."""

import dataclasses
import shutil
from collections.abc import Iterable
from pathlib import Path

from tools.cluster import archive
from tools.cluster.base_images import BASE_IMAGES, BaseImage
from tools.stack import debian

AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")


def archives(folder: Path) -> list[Path]:
    """Return the base images' archives, making those that are missing."""
    with debian.only_maker(folder, "images.lock"):  # two clusters may start at once
        for image in _missing(folder):
            _make(image, folder)
    return [folder / image.file for image in BASE_IMAGES]


def _missing(folder: Path) -> Iterable[BaseImage]:
    return [image for image in BASE_IMAGES if not (folder / image.file).exists()]


def _make(image: BaseImage, folder: Path) -> None:
    plain = debian.plain()
    print(f"Making the base image {image.name} from Debian packages, once on this machine.", flush=True)
    with debian.unfinished(folder, f"making {image.name}") as scratch:
        root, layer = scratch / "root", scratch / "layer.tar"
        meaning = f"the image {image.name} cannot be made"
        debian.furnish(root, plain, image.packages, image.script, meaning=meaning, log=folder / f"{image.stem}.log")
        _trust_what_we_trust(root)
        debian.pack(root, layer, meaning=meaning)
        settings = dataclasses.replace(image.settings, Labels=image.labels)
        archive.write(folder / image.file, name=image.name, layer=layer, settings=settings)
    _remove_older(image, folder)


def _remove_older(image: BaseImage, folder: Path) -> None:
    for file in folder.glob(f"{image.stem}-*.tar"):
        if file.name != image.file:
            file.unlink()


def _trust_what_we_trust(root: Path) -> None:
    """Behind a proxy that signs by itself, pip works in an image only with the machine's own authorities."""
    if AUTHORITIES.exists():
        shutil.copyfile(AUTHORITIES, root / AUTHORITIES.relative_to("/"))
