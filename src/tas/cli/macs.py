"""``tas macs``: what a net costs."""

import json

from .. import nets
from ..api.session import row
from ..costs import count
from ..options import MacsOptions, asked_input
from .show import print_rows

__all__ = ["main"]


def main(options: MacsOptions) -> None:
    image = asked_input(options)
    shape = nets.read_shape(options.what, trust=options.net)
    shape = shape.replace(classes=options.classes or shape.classes, input=image or shape.input)
    counted = count(nets.build(shape), shape.input)
    if options.json:
        print(
            json.dumps({"macs": counted.macs, "params": counted.params, "unknown": counted.unknown})
        )
        return
    full = nets.build(nets.full_shape(shape.net, shape.classes, shape.input))
    whole = count(full, shape.input)
    rows = [row(f"{shape.net}, unpruned", macs=whole.macs, params=whole.params)]
    if options.what != shape.net:
        rows.append(row(options.what, macs=counted.macs, params=counted.params))
    print_rows(rows)
    print(f"{counted.macs:,} multiply-adds of one image, {counted.params:,} parameters")
    if counted.note:
        print(f"note: {counted.note}")
