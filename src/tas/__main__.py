"""``python -m tas`` is the command ``tas``, as launchers of many processes need it."""

from .cli.main import main

if __name__ == "__main__":
    main()
