"""How much each parameter matters for an objective, by PED-ANOVA.

Source: Watanabe et al., PED-ANOVA, IJCAI 2023, as Optuna has it, with parameters that are not always there. It
compares how a parameter is distributed among the best tenth of the results and among all of them. fANOVA would need
scikit-learn, and leaves out parameters that are not always there.
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
"""The share of the results that are the best."""

LEAST, ENOUGH = 20, 50
"""Results below which nothing can be said, and below which it is uncertain: two and five of them are the best tenth."""


class Importance(NamedTuple):
    """What parameters matter for an objective.

    Attributes:
        shares: Parameter -> its share of 1, the largest first; empty where nothing can be said.
        remark: Why nothing can be said, or why it is uncertain; "" otherwise.
    """

    shares: dict[str, float]
    remark: str


def importance(found: Results, place: int) -> Importance:
    """The importance of the parameters for one objective of a search."""
    count = len(found.trials)
    if count < LEAST:
        return Importance({}, f"Too few results to tell: {count}, where {LEAST} are the least.")
    if len({trial.values[place] for trial in found.trials}) == 1:
        return Importance({}, "All results have the same value, so no parameter matters for it.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of regimes with few trials; what is told below says the same
        evaluator = PedAnovaImportanceEvaluator(target_quantile=BEST)
        found_shares = get_param_importances(_study(found, place), evaluator=evaluator, normalize=False)
    total = sum(found_shares.values())
    if not total:
        return Importance({}, "The best tenth of the results is like all of them, so no parameter stands out.")
    shares = {name: value / total for name, value in sorted(found_shares.items(), key=lambda one: (-one[1], one[0]))}
    uncertain = f"Of {count} results the best tenth is fewer than five: take this as a hint." if count < ENOUGH else ""
    return Importance(shares, uncertain)


def _study(found: Results, place: int) -> optuna.Study:
    """The results as a study of one objective."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction=StudyDirection[found.plan.directions[place].upper()])
    known = {dimension.name: distribution(dimension) for dimension in found.space.dimensions}
    trials = []
    for trial in found.trials:
        params = params_of(found.space, trial.candidate)
        distributions = {name: known[name] for name in params}
        trials.append(create_trial(params=params, distributions=distributions, value=trial.values[place]))
    study.add_trials(trials)
    return study
