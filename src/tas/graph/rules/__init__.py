"""What every operator does to the channels of its tensors: a rule for each, and for yours.

A rule is a function of the trace and of one call of its operator. It says which channels the
results carry, which live and die together, which must stay, and what the call costs. Its words:

=========================================  ========================================================
``call["dim"]``, ``call.out``              an argument by its name, the result (``Call``)
``trace.planes(x)``                        where x has channels: dimensions with labels (``Plane``)
``trace.along(x, dim)``                    the planes along one dimension
``trace.labels(x, dim)``                   the labels along a dimension; its size where it has none
``plane.at(dim)``                          the same labels along another dimension, for a result
``trace.carry(out, planes)``               the result has these channels
``trace.tie(a, b, why)``                   labels that live and die together, index by index; where
                                           one side is only a size, the other must stay
``trace.lock(planes, why)``                channels that must stay
``trace.produce(planes, out)``             a layer makes channels: its parameter's planes
``trace.consume(planes)``                  a layer reads channels: its parameter's planes
``trace.note_cost(call.macs, *sides)``     the cost, and the labels or sizes it is proportional to
=========================================  ========================================================

Tensors of which a rule says nothing are taken to be free of channels, so a rule says something of
every plane of its inputs: carried, tied or locked. An operator without a rule locks what it reads.

A parameter's labels are made when it is first asked for. What is read is masked in a search where
it is *consumed*, so a layer with a weight says both what it produces and what it consumes.
"""

from .call import Call
from .table import apply_rule, rule, rule_of

__all__ = ["Call", "apply_rule", "rule", "rule_of"]
