"""What a net that is trained with a teacher is to minimise."""

import torch.nn.functional as F
from torch import Tensor

__all__ = ["distill_loss"]


def distill_loss(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    alpha: float = 0.9,
    temperature: float = 4.0,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Section 3.2: (1 - alpha) cross-entropy + alpha T^2 KL(teacher_T || student_T).

    Args:
        student, teacher: [N, classes], before the softmax.
    """
    hard = F.cross_entropy(student, labels, label_smoothing=label_smoothing)
    soft = F.kl_div(
        F.log_softmax(student / temperature, -1),
        F.log_softmax(teacher / temperature, -1),
        reduction="batchmean",
        log_target=True,
    )
    return (1 - alpha) * hard + alpha * temperature**2 * soft
