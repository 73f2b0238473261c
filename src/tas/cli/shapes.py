"""``tas shapes``: the shapes that were published with TAS."""

import json

from .. import nets
from ..errors import InputError, one_of
from ..options import ShapesOptions
from .show import print_shapes

__all__ = ["main"]


def main(options: ShapesOptions) -> None:
    if options.name is not None:
        if options.name not in nets.published():
            raise InputError(one_of("published shape", options.name, nets.published()))
        print(json.dumps(nets.read_shape(options.name).to_dict(), indent=1))
        return
    print_shapes([(name, nets.read_shape(name)) for name in nets.published()])
