"""`missionctl`, and `python -m missionctl`."""

from missionctl.cli.app import app


def main() -> None:
    """Run the command line."""
    app(prog_name="missionctl")


if __name__ == "__main__":
    main()
