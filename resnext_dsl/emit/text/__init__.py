"""From patterns to text: the classes of the emitted file.

python_names      names and literals, the only way from a spec into the text
call_layout       calls broken into lines
helper_classes    source of classes that torch does not have
parameters        names and expressions for the columns of values in a pattern
forward           the statements of a forward
class_text        the class of a template
weight_init       the method `init_weights`
network_...       the class of the network, one file for each group of its methods
"""
