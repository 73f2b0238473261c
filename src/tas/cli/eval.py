"""``tas eval``: the accuracy of a trained net on test pictures."""

import json

from ..api import eval_run
from ..options import EvalOptions
from .show import print_rows

__all__ = ["main"]


def main(options: EvalOptions) -> None:
    tested = eval_run(options)
    if options.json:
        print(json.dumps(tested.figures))
        return
    print_rows(tested.rows)
    loss, pictures = tested.figures["loss"], tested.figures["pictures"]
    print(f"loss {loss:.4f} on {pictures:,} test pictures of {tested.data}")
    if tested.note:
        print(f"note: {tested.note}")
