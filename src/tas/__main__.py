"""The command ``tas``, and ``python -m tas``, as launchers of many processes need it."""

from .cli import early


def main() -> None:
    """The command; what it needs is imported once Ctrl-C ends it in order."""
    early.end_at_once()
    from .cli.main import main as command

    command()


if __name__ == "__main__":
    main()
