"""The importance of each parameter for an objective, by PED-ANOVA.

Source: Watanabe et al., PED-ANOVA, IJCAI 2023, in the implementation of Optuna, which supports conditional parameters.
It compares the distribution of a parameter among the best tenth of the results and among all results. fANOVA would
need scikit-learn, and it ignores conditional parameters.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.study import StudyDirection
from optuna.trial import create_trial

from resnext_dsl.searches.propose import distribution, params_of
from resnext_dsl.searches.results import Results

BEST = 0.1
"""The share of the results that count as the best."""

LEAST, ENOUGH = 20, 50
"""Fewest results for an importance, and fewest for a certain one; their best tenths are two and five results."""


class Importance(NamedTuple):
    """The importance of the parameters for an objective.

    Attributes:
        shares: Parameter -> its share of 1, the largest first; empty if no importance can be computed.
        remark: Why no importance can be computed, or why it is uncertain; "" otherwise.
    """

    shares: dict[str, float]
    remark: str


def importance(results: Results, place: int) -> Importance:
    """The importance of the parameters for one objective of a search."""
    count = len(results.trials)
    if count < LEAST:
        return Importance({}, f"Too few results: {count}; at least {LEAST} are needed.")
    if len({trial.values[place] for trial in results.trials}) == 1:
        return Importance({}, "All results have the same value, so no parameter matters for it.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about few trials; the remark below says the same
        evaluator = PedAnovaImportanceEvaluator(target_quantile=BEST)
        raw_shares = get_param_importances(_study(results, place), evaluator=evaluator, normalize=False)
    total = sum(raw_shares.values())
    if not total:
        return Importance({}, "The best tenth is distributed like all results, so no parameter stands out.")
    shares = {name: value / total for name, value in sorted(raw_shares.items(), key=lambda one: (-one[1], one[0]))}
    uncertain = (
        f"The best tenth of {count} results is fewer than five, so the importance is uncertain."
        if count < ENOUGH
        else ""
    )
    return Importance(shares, uncertain)


def _study(results: Results, place: int) -> optuna.Study:
    """The results as a study of one objective."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction=StudyDirection[results.plan.directions[place].upper()])
    known = {dimension.name: distribution(dimension) for dimension in results.space.dimensions}
    trials = []
    for trial in results.trials:
        params = params_of(results.space, trial.candidate)
        distributions = {name: known[name] for name in params}
        trials.append(create_trial(params=params, distributions=distributions, value=trial.values[place]))
    study.add_trials(trials)
    return study
