"""The command ``tas``: ``main.py``, what it can be told in ``options.py``, a file per verb."""
