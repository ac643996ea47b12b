"""From patterns to text: the classes of the emitted file.

- `python_names`: names and literals
- `call_layout`: calls broken into lines
- `helper_classes`: source of classes that torch does not have
- `value_columns`, `column_formulas`: comparisons of columns of values; formulas and conditions that give a column
- `parameters`: the parameters of a constructor, and expressions of them
- `forward`: the statements of a forward
- `class_text`: the class of a template
- `weight_init`: the method `init_weights`
- `network_...`: the class of the network, a file for each group of its methods
"""
