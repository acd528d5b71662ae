"""docker where a daemon answers, else buildah as root: both take the same Dockerfiles and give the same archives."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tools.images.errors import ImagesError
from tools.stack import containers
from tools.stack.commands import finish

BUILD_TIMEOUT_SECONDS: Final = 1_800.0
ROOT: Final = Path(__file__).parents[2]
SERVICES: Final = ("operator", "commander", "soldier")


@dataclass(frozen=True, kw_only=True)
class Builder:
    """How one program builds an image and writes it to a file."""

    name: str
    build: tuple[str, ...]
    prefix: str
    """What a name without a registry means to a kubelet; docker adds it by itself."""
    environment: Mapping[str, str]

    def image(self, service: str, tag: str) -> str:
        return f"{self.prefix}mission-{service}:{tag}"

    def building(self, service: str, tag: str, revision: str, target: str | None) -> list[str]:
        """Give the command that builds a service's image."""
        arguments = [f"--build-arg=VERSION={tag}", f"--build-arg=REVISION={revision}"]
        stage = [f"--target={target}"] if target else []
        file = str(ROOT / service / "Dockerfile")
        return [*self.build, *arguments, *stage, "--file", file, "--tag", self.image(service, tag), str(ROOT)]

    def saving(self, image: str, archive: Path) -> list[str]:
        """Give the command that writes an image to an archive that containerd and kind read."""
        if self.name == "docker":
            return ["docker", "save", "--output", str(archive), image]
        return ["buildah", "push", "--quiet", image, f"docker-archive:{archive}:{image}"]

    def pushing(self, service: str, tag: str, registry: str, digest_file: Path) -> list[list[str]]:
        """Return the commands that push an image; the file, or the last one's output, then says its digest."""
        image, target = self.image(service, tag), f"{registry.rstrip('/')}/mission-{service}:{tag}"
        if self.name != "docker":
            return [["buildah", "push", "--quiet", f"--digestfile={digest_file}", image, f"docker://{target}"]]
        shown = ["docker", "image", "inspect", "--format", "{{index .RepoDigests 0}}", target]
        return [["docker", "tag", image, target], ["docker", "push", "--quiet", target], shown]


DOCKER: Final = Builder(name="docker", build=("docker", "build", "--quiet"), prefix="", environment={})
BUILDAH: Final = Builder(
    name="buildah",
    # As root without a daemon: no network of its own, and no container runtime.
    build=("buildah", "build", "--quiet", "--layers", "--network=host"),
    prefix="docker.io/library/",
    environment={"BUILDAH_ISOLATION": "chroot"},
)


def find() -> Builder:
    """Choose what this machine has."""
    if containers.docker_answers():
        return DOCKER
    if shutil.which("buildah"):
        return BUILDAH
    raise ImagesError(
        "no Docker daemon answers and buildah is not installed, so no image can be built here: start Docker, or run "
        "`make cluster` as root, which installs buildah and makes the base images."
    )


def run(builder: Builder, command: Sequence[str], meaning: str) -> str:
    """Run one of its commands to the end and return what it prints, or say what its failure means."""
    done = finish(command, environment=builder.environment, timeout_seconds=BUILD_TIMEOUT_SECONDS)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-2000:]
        raise ImagesError(f"`{' '.join(command[:2])} …` failed, so {meaning}. It said:\n{said}")
    return done.stdout
