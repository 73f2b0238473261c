"""A net that learns from labels and from a teacher's answers (section 3.2 of the paper)."""

from contextlib import ExitStack

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn

from ..errors import InputError
from ..forward import example_for, modes_kept
from ..typed import checked
from .answers import Answers
from .classification import Classification, most_likely
from .evaluation import Labelled, measure
from .objective import divergence
from .options import TrainOptions

__all__ = ["Distillation", "Imitation", "distill_loss", "learning"]


@checked
def learning(
    net: nn.Module,
    teacher: nn.Module | None,
    options: TrainOptions,
    labelled: bool = True,
    answers: Answers | None = None,
) -> Classification:
    """A net's training: on labels, and with a teacher's answers where there are any that count;
    on these alone where pictures are not labelled.

    >>> import tas
    >>> from tas.training import TrainOptions, learning
    >>> net, teacher = tas.nets.build("C010-ResNet20"), tas.nets.build("resnet20")
    >>> type(learning(net, None, TrainOptions())).__name__
    'Classification'
    >>> type(learning(net, teacher, TrainOptions())).__name__
    'Distillation'

    Args:
        answers: what the teacher has answered to nets before this one, which is kept for those
            after it; None: it is asked each time.
    """
    if not labelled:
        if teacher is None:
            raise InputError(
                "the pictures have no labels, so that a net can only learn from the answers of a "
                "teacher: give one"
            )
        return Imitation(net, teacher, options, answers)
    if teacher is None or not options.distils:
        return Classification(net, options)
    return Distillation(net, teacher, options, answers)


class Distillation(Classification):
    """Cross-entropy on labels and the divergence from a teacher's answers.

    >>> import tas
    >>> from tas.training import Distillation, TrainOptions
    >>> teacher, student = tas.nets.build("resnet20"), tas.nets.build("C010-ResNet20")
    >>> task = Distillation(student, teacher, TrainOptions(epochs=10, kd_alpha=0.5))

    The teacher answers in evaluation mode; afterwards each of its modules has its own again.
    """

    name = "distil"

    def __init__(
        self,
        model: nn.Module,
        teacher: nn.Module,
        options: TrainOptions,
        answers: Answers | None = None,
    ) -> None:
        super().__init__(model, options)
        self.teacher = teacher
        self.known = answers
        self.lent = ExitStack()  # the teacher, while it answers

    def start(self, accelerator: Accelerator, steps: int, seed: int) -> None:
        super().start(accelerator, steps, seed)
        # Placed like the student but not prepared: it is neither wrapped nor saved.
        self.teacher.to(accelerator.device)
        self.taught_in = example_for(self.teacher, (1, 1, 1)).dtype
        self.lent.enter_context(modes_kept(self.teacher))
        self.answering = self.ready(self.teacher.eval())

    def nets(self) -> list[nn.Module]:
        return [*super().nets(), self.teacher]

    def stop(self) -> None:
        self.lent.close()
        super().stop()

    def judged(self, images: Tensor, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        loss = distill_loss(
            logits,
            self.answers(images, logits),
            labels,
            alpha=self.options.kd_alpha,
            temperature=self.options.kd_temperature,
            label_smoothing=self.options.label_smoothing,
        )
        return loss, most_likely(labels)

    def answers(self, images: Tensor, logits: Tensor) -> Tensor:
        """The teacher's scores of the images, beside the student's; [N, classes]."""
        with torch.inference_mode(), self.accelerator.autocast():
            if images.is_floating_point():
                images = images.to(self.taught_in)
            known = self.known
            answers = known.of(images, self.answering) if known else self.answering(images)
        if answers.shape != logits.shape:
            raise InputError(
                f"the teacher knows {answers.shape[1]} classes, the student {logits.shape[1]}: "
                "give a teacher that was trained on the same classes"
            )
        scores: Tensor = answers.to(torch.float32, copy=True)  # autograd refuses those of inference
        return scores


class Imitation(Distillation):
    """The divergence from a teacher's answers alone, for pictures without labels.

    >>> import tas
    >>> from tas.training import Imitation, TrainOptions
    >>> teacher, student = tas.nets.build("resnet20"), tas.nets.build("C010-ResNet20")
    >>> task = Imitation(student, teacher, TrainOptions(epochs=10))

    Figures are the share of answers that are the teacher's, ``agreement``, and the divergence.
    """

    figure = "agreement"

    def judged(self, images: Tensor, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        answers = self.answers(images, logits)
        loss = divergence(logits, answers, self.options.kd_temperature)
        return loss, answers.argmax(1)

    def evaluate(self, batches: Labelled) -> dict[str, float]:
        return measure(self.tested, batches, self.accelerator, self.placing, self.teacher)


def distill_loss(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    alpha: float = 0.9,
    temperature: float = 4.0,
    label_smoothing: float = 0.0,
) -> Tensor:
    """(1 - alpha) cross-entropy + alpha T^2 KL(teacher_T || student_T).

    >>> import torch
    >>> from tas.training import distill_loss
    >>> student, teacher = torch.zeros(2, 10), torch.zeros(2, 10)
    >>> labels = torch.tensor([3, 7])
    >>> round(float(distill_loss(student, teacher, labels, alpha=0.9)), 4)  # 0.1 log 10
    0.2303

    Section 3.2 of *Network Pruning via Transformable Architecture Search*, Dong & Yang, NeurIPS
    2019, arXiv 1905.09717.

    Args:
        student, teacher: [N, classes], before the softmax.
    """
    hard = F.cross_entropy(student, labels, label_smoothing=label_smoothing)
    return (1 - alpha) * hard + alpha * divergence(student, teacher, temperature)
