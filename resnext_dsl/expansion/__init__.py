"""From a bound network to its graph: templates are expanded, statements are run, shapes are computed."""
