"""The default search: from a trained net, by trials. The algorithm:

1. The channels of every width are put in order, once, those first that tell most of what the next
   layers read (greedy column subset selection on a few batches; ``inherit/ordering.py``).
   What a smaller net keeps of a width are its first channels.
2. The space is narrowed to the neighbourhood of equal widths: no layer below half of the equal
   ratio, all blocks kept, unless the budget asks for less (``methods/baseline.py``).
3. A *trial* of a shape (``ask.py``): its net is cut from the trained one; each layer reads the
   channels that are left as the least-squares guess at those that are gone; the norms measure
   their statistics anew; some batches of training pictures pass through. The trial's loss is the
   divergence of its answers from those of the whole net. Nothing is trained.
4. The first generation are 24 random shapes at the budget (``methods/sampling.py``).
5. Each later generation are 12 children of the best eight so far, the better ones more often: a
   few of their choices, or all of a stage, moved by a few candidates. 4,096 are drawn; those that
   cost more than the budget are dropped; of the rest, the ones are asked whose lower confidence
   bound by a Gaussian process over all losses so far is lowest (``evolution.py``,
   ``surrogate.py``).
6. After 300 trials the four of the lowest losses that use 99 % of the budget are asked on more
   examples (``race.py``), and the best is compared with equal widths: both nets are trained for a
   short time with the whole net as their teacher, and the search returns the better one
   (``method.py``).

Every generation is a line of the log, with its shapes and their losses: a search that was
interrupted goes on behind the last one. Several processes, and on the CPU several threads, try
different shapes at the same time.

Figures behind each decision: ``docs/research``.
"""

from .method import Trials
from .options import TrialOptions

__all__ = ["TrialOptions", "Trials"]
