"""Whether a run left processes behind: those of ours work in their run's state folder."""

from pathlib import Path


def processes_in(folder: Path) -> list[str]:
    """Give the working folders of processes in a folder, also after it has been removed."""
    return [link for link in map(_working_folder, Path("/proc").iterdir()) if link.startswith(str(folder))]


def _working_folder(process: Path) -> str:
    try:
        return str((process / "cwd").readlink())
    except OSError:
        return ""
