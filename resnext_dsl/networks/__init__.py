"""A file that is read and resolved, the network that it gives, and the advice for an exceeded budget."""
