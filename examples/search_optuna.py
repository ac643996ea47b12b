"""The search of `search_digits.py` in plain Optuna, which draws values one by one and knows neither rules nor cost.

`python examples/search_optuna.py` prints the front, and counts the trials that are no networks or outside the box.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import optuna

import resnext_dsl as rx
from resnext_dsl.train.evaluators import EVALUATORS

SPEC, LOW, HIGH = Path(__file__).with_name("families.arch"), 100_000, 200_000


def objective(trial: optuna.Trial) -> tuple[float, float]:
    """Accuracy and FLOPs of one network; both limits of the box are constraints."""
    values = {
        "depths": [trial.suggest_int(f"depth{i}", 1, 3) for i in (0, 1)],
        "channels": [trial.suggest_int(f"channels{i}", 8, 64, step=4) for i in (0, 1)],
        "ratios": [trial.suggest_categorical(f"ratio{i}", [1, 2, 4]) for i in (0, 1)],
        "groups": [trial.suggest_categorical(f"group{i}", [1, 2, 4, 8]) for i in (0, 1)],
    }
    try:
        network = rx.load(SPEC, **values)
    except rx.ArchError:
        raise optuna.TrialPruned from None
    flops = network.cost().flops
    trial.set_constraint("low", LOW - flops)
    trial.set_constraint("high", flops - HIGH)
    return EVALUATORS["digits"]()(network.compile(seed=0))["accuracy"], flops


def main() -> None:
    """Searches and prints."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--trials", type=int, default=60)
    arguments = options.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.NSGAIISampler(population_size=12, seed=0)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    study.optimize(objective, n_trials=arguments.trials)
    complete = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
    outside = sum(max(trial.constraints.values()) > 0 for trial in complete)
    print(
        f"{arguments.trials} trials: {arguments.trials - len(complete)} are no networks, {outside} are outside the box"
    )
    for trial in sorted(study.best_trials, key=lambda trial: -trial.values[0]):
        print(f"{trial.values[0]:.1%}  {trial.values[1]:,.0f} FLOPs  {trial.params}")


if __name__ == "__main__":
    main()
