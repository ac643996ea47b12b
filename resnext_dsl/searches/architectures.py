"""The key of an architecture, by which all processes recognize a candidate that was evaluated before."""

from __future__ import annotations

import hashlib
import json

from resnext_dsl.networks.network import Network
from resnext_dsl.spaces.candidate import Candidate
from resnext_dsl.spaces.space import Space


def key_of(space: Space, candidate: Candidate, network: Network) -> str:
    """The key of an architecture: a hash of the network and of the values that do not shape the network."""
    others = {name: value for name, value in candidate.to_json().items() if name not in space.reads.elsewhere}
    text = json.dumps([network.fingerprint, others], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
