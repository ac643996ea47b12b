"""Tables of networks for a terminal, and their JSON: stages, breakdowns of cost, two counts side by side."""
