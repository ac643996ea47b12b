"""Tables of networks for a terminal: stages, breakdowns of cost, two counts side by side."""
