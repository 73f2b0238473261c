"""``tas train``: a net or a shape, on labels alone or with a teacher."""

from torch import nn

from .. import nets
from ..api import check_net, train
from ..api import session as runs
from ..api.options import TrainVerbOptions
from ..errors import InputError
from ..shape import Shape

__all__ = ["main"]


def main(options: TrainVerbOptions) -> None:
    if (options.net is None) == (options.shape is None):
        raise InputError("say what to train: either --net resnet20 or --shape C010-ResNet20")
    data = runs.load_data(options)
    recipe = runs.chosen_recipe(options, inheriting=bool(options.inherit or options.weights))
    name = options.shape or options.net or ""
    shape = nets.read_shape(name)
    teacher = None
    if options.teacher:
        of = options.teacher_net or shape.net
        teacher = nets.load(of, options.teacher, data.classes, data.input)
    elif options.teacher_net:
        raise InputError(
            f"--teacher-net {options.teacher_net}: its weights are missing, give --teacher"
        )

    if options.inherit and options.weights:
        raise InputError("--inherit and --weights both say what to start from: give one")
    if options.inherit and not options.teacher:
        raise InputError("--inherit: there is no net to inherit from: give its --teacher")
    if options.inherit and options.teacher_net not in (None, shape.net):
        raise InputError(
            f"--inherit: {options.teacher_net} is not the unpruned net of {name}, {shape.net}"
        )
    start: Shape | nn.Module = shape
    if options.weights:
        start = nets.load(shape, options.weights, data.classes, data.input)

    # Another library's net may not fit, and that is to be said before there is a directory.
    if teacher is not None:
        check_net(teacher, data, "teacher")
    if nets.is_named(shape.net) and not options.inherit:
        built = (
            start if isinstance(start, nn.Module) else nets.build(start, data.classes, data.input)
        )
        check_net(built, data, "net")

    run = runs.Run.open("train", options, name)
    if run.finished:
        run.show()
        return
    with run.interruptible():
        trained = train(
            start,
            data,
            teacher=teacher,
            inherit=options.inherit,
            options=recipe.student,
            phase="student" if teacher else "train",
            **run.common(options),
        )
        run.directory.save_model(trained.net)
        as_trained = shape.replace(classes=data.classes, input=data.input)
        run.directory.save_shape(nets.measured(as_trained))
        how = "distilled" if teacher and recipe.student.distils else "trained"
        full = nets.measured(nets.full_shape(shape.net, data.classes, data.input))
        run.finish(
            {
                "net": name,
                "data": data.name,
                "rows": runs.below_unpruned(runs.row(f"{name}, {how}", trained), full),
                "full_shape": full.to_dict(),
                "notes": [*data.notes, "Accuracy: percent of the test pictures, last epoch."],
            }
        )
        run.show()
