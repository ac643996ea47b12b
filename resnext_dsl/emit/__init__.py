"""From a graph to the text of a PyTorch module, in three stages: graph -> blocks -> patterns -> text.

- `blocks`: one block for each scope that becomes a module: its children and its steps, all literals
- `patterns`: one pattern for several blocks: equal parts stay, differing literals become holes
- `text`: one class for each pattern, and the class of the network
- `emitted_file`: all stages in order, and the whole file

Nothing here reads a spec or imports torch. Only names and literals of a spec get into the text, by `text.python_names`.
"""

from resnext_dsl.emit.emitted_file import emit
from resnext_dsl.emit.text.weight_init import FieldInit

__all__ = ["FieldInit", "emit"]
