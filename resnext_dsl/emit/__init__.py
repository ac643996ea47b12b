"""From a graph to the text of a PyTorch module, by way of blocks and the patterns that they share.

    levels       which scopes become modules, and what flows between them
    collect      each as a block: the modules it holds, the steps of its forward
    unify        modules of one place as one pattern, with columns of literals where they differ; `wiring` the same for
                 whole blocks, steps included
    parameters   names for those columns
    classes      the text of a class: its constructor, and by `forward` its statements; `layout` breaks lines
    network      the class of the network and what its users expect of it; `flow` tells features from head
    source       all of it, in order

Nothing here reads the spec or imports torch. Of a spec only names and literals get into the text, through `names`.
"""

from resnext_dsl.emit.emitted_file import emit
from resnext_dsl.emit.initialize import FieldInit

__all__ = ["FieldInit", "emit"]
