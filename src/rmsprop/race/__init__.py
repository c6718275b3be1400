"""Optimizers against each other on landscapes of two parameters, each with the learning rate that suits it.

>>> from rmsprop.race import Noise, Settings, landscape, race, rival
>>> rivals = [rival("rmsprop"), rival("rmsprop", "pytorch"), rival("adagrad")]
>>> done = race(landscape("cliff"), rivals, Settings(steps=1000, noise=Noise("outliers", 0.02)))
>>> done.entries[0].rival.name
'rmsprop'
"""

from rmsprop.race.fitted import of_data
from rmsprop.race.landscapes import landscape, landscape_names
from rmsprop.race.noise import Noise, noise_kinds
from rmsprop.race.problem import Problem
from rmsprop.race.rivals import Rival, rival, rival_names
from rmsprop.race.surface import of_formula, of_model
from rmsprop.race.tournament import Entry, Race, Settings, race

__all__ = [
    "Entry",
    "Noise",
    "Problem",
    "Race",
    "Rival",
    "Settings",
    "landscape",
    "landscape_names",
    "noise_kinds",
    "of_data",
    "of_formula",
    "of_model",
    "race",
    "rival",
    "rival_names",
]
