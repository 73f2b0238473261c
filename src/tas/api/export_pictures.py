"""The pictures of an export: to check a file on, to measure INT8 by, to test it on."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from .. import data as data_room
from ..data import Data, Images, chosen_pictures, read_chosen, some_pictures
from ..errors import DataError, InputError
from ..exports import Form
from ..models import ModelFolder
from .opening import own_data

__all__ = ["ExportPictures"]

CHECKED, NOISE = 256, 64  # pictures to check on; where there are none, random ones
CALIBRATED, TESTED = 256, 5_000


@dataclass(frozen=True)
class ExportPictures:
    """Where the pictures come from: a data set, if there is one.

    Attributes:
        form: of the exported file.
        data: prepared by the transform of the form.
        missing: why there is none, in words.
    """

    form: Form
    data: Data | None
    missing: str = ""

    @classmethod
    def given(cls, form: Form, data: str | Path | Data) -> "ExportPictures":
        """Of the data set that a user names."""
        if not isinstance(data, Data):
            data = data_room.load(
                data,
                transform=form.transform,
                class_names=form.classes,
                in_memory=False,
                progress=False,
            )
        if data.transform.input != form.transform.input:
            raise InputError(
                f"the pictures of '{data.name}' become {list(data.transform.input)}, and the net "
                f"takes {list(form.transform.input)}: load them with the net's transform"
            )
        return cls(form, data)

    @classmethod
    def own(cls, form: Form, folder: ModelFolder | None) -> "ExportPictures":
        """Of the model's own data, where they are at hand."""
        own = own_data(folder) if folder else {}
        if "data" not in own:
            return cls(form, None, "no data are known")
        try:
            data = data_room.load(
                own["data"],
                data_dir=own.get("data_dir"),
                transform=form.transform,
                class_names=form.classes,
                in_memory=False,
                progress=False,
                unlabelled=own.get("unlabelled", False),
            )
            return cls.given(form, data)
        except (DataError, InputError):
            return cls(form, None, f"'{own['data']}' cannot be used here")

    def to_check(self) -> tuple[Tensor, str]:
        """uint8 [N, C, H, W], and which these are, in words."""
        if self.data is not None:
            found = some_pictures(self.data.test, self.form.transform, CHECKED)
            if not len(found):
                raise InputError(f"'{self.data.name}' has no test picture that can be read")
            return found.pixels, f"test pictures of {self.data.name}"
        generator = torch.Generator().manual_seed(0)
        size = (NOISE, *self.form.transform.input)
        return torch.randint(256, size, generator=generator, dtype=torch.uint8), (
            f"random pictures, for {self.missing}; give --data for real ones"
        )

    def to_calibrate(self, folder: str | Path | None) -> tuple[Tensor, str]:
        """Those by which ranges of INT8 are measured: of a folder, or training pictures."""
        transform = self.form.transform
        if folder is not None:
            chosen = chosen_pictures([folder])
            chosen = chosen[:: max(1, -(-len(chosen) // CALIBRATED))]
            batches = read_chosen(chosen, transform, batch_size=64)
            read = [content for batch in batches for _, content in batch]
            found = [content for content in read if isinstance(content, Tensor)]
            if not found:
                raise InputError(f"--calibrate {folder}: {read[0]}, give a folder of pictures")
            return torch.stack(found), f"pictures of {folder}"
        if self.data is None:
            raise InputError(
                f"--int8 needs some training pictures to measure by, and {self.missing}: give a "
                "folder of some with --calibrate, or --data"
            )
        pixels = some_pictures(self.data.train, transform, CALIBRATED).pixels
        if not len(pixels):
            raise InputError(f"'{self.data.name}' has no training picture that can be read")
        return pixels, f"training pictures of {self.data.name}"

    def to_test(self) -> Images | None:
        """Test pictures, with their classes where these are known; None where there are none."""
        if self.data is None:
            return None
        found = some_pictures(self.data.test, self.form.transform, TESTED)
        return found if len(found) else None
