"""Options are checked when made, and the message quotes the option as it is typed."""

import pytest

from tas.errors import InputError
from tas.methods.paper.options import PaperOptions
from tas.training import TrainOptions


@pytest.mark.parametrize(
    ("options", "given", "message"),
    [
        (TrainOptions, {"epochs": 0}, "--epochs 0: must be at least 1"),
        (TrainOptions, {"epochs": 1.5}, "epochs=1.5: give a whole number"),
        (TrainOptions, {"batch_size": "8"}, "batch_size='8': give a whole number"),
        (TrainOptions, {"batch_size": -1}, "--batch-size -1: must be at least 1"),
        (TrainOptions, {"lr": 0.0}, "--lr 0.0: must be above 0"),
        (TrainOptions, {"lr": float("nan")}, "--lr nan: must be above 0"),
        (TrainOptions, {"travel": -1.0}, "--travel -1.0: must be at least 0"),
        (TrainOptions, {"clip_norm": -1.0}, "--clip-norm -1.0: must be at least 0"),
        (TrainOptions, {"label_smoothing": 1.5}, "--label-smoothing 1.5: must lie between 0 and 1"),
        (TrainOptions, {"kd_alpha": -0.1}, "--kd-alpha -0.1: must lie between 0 and 1"),
        (TrainOptions, {"precision": "bf61"}, "did you mean 'bf16'"),
        (TrainOptions, {"momentum": 0.0}, "--nesterov"),
        (PaperOptions, {"tau_end": 0.0}, "--tau-end 0.0: must be above 0"),
        (PaperOptions, {"logit_betas": (0.5, 2.0)}, "--logit-betas 2.0"),
        (PaperOptions, {"mixing": "masks"}, "did you mean 'mask'"),
        (PaperOptions, {"tolerance": 2.0}, "--tolerance 2.0"),
    ],
)
def test_what_cannot_be_is_refused(options, given, message):
    with pytest.raises(InputError) as error:
        options(**given)
    assert message in str(error.value)


def test_the_defaults_are_those_of_the_paper():
    assert (TrainOptions().epochs, PaperOptions().epochs) == (300, 600)
    assert TrainOptions().kd_temperature == 4.0
    assert (PaperOptions().tau_start, PaperOptions().tau_end) == (5.0, 0.1)
