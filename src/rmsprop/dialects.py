"""The dialects: what each implementation means by "RMSprop", as values.

Only what differs from `Rule`'s own defaults is written here, but for lr, decay and eps, which each row states.
"""

from difflib import get_close_matches
from typing import Any

from rmsprop.rule import Rule

_ROWS = (
    Rule(
        name="article",
        lr=0.01,
        decay=0.9,
        eps=1e-8,
        source="the usual tutorial form, as fitted by `rmsprop fit --recipe article`: lr 0.01, decay 0.9, epsilon 1e-8 outside",
    ),
    # The lecture divides by √MeanSquare and names neither an epsilon nor a learning rate; 1e-8 keeps 0/0 defined.
    Rule(
        name="hinton",
        decay=0.9,
        eps=1e-8,
        source="Tieleman and Hinton, Neural Networks for Machine Learning (2012), lecture 6e, slide 29",
    ),
    Rule(
        name="graves",
        lr=1e-4,
        decay=0.95,
        eps=1e-4,
        eps_place="inside",
        centered=True,
        momentum=0.9,
        source="Graves (2013), https://arxiv.org/abs/1308.0850, eq. 38-45",
    ),
    Rule(
        name="pytorch",
        lr=1e-2,
        decay=0.99,
        eps=1e-8,
        lr_in_momentum=False,
        source="https://github.com/pytorch/pytorch, torch/optim/rmsprop.py",
    ),
    Rule(
        name="tf1",
        decay=0.9,
        eps=1e-10,
        eps_place="inside",
        square_init=1.0,
        source="https://github.com/tensorflow/tensorflow, tensorflow/python/training/rmsprop.py and ApplyRMSProp",
    ),
    Rule(
        name="keras-legacy",
        lr=1e-3,
        decay=0.9,
        eps=1e-7,
        source="https://github.com/keras-team/tf-keras, tf_keras/optimizers/legacy/rmsprop.py: epsilon moves inside with momentum",
    ),
    Rule(
        name="keras",
        lr=1e-3,
        decay=0.9,
        eps=1e-7,
        eps_place="inside",
        weight_decay_form="decoupled_lr",
        source="https://github.com/keras-team/keras, keras/src/optimizers/rmsprop.py",
    ),
    Rule(
        name="optax",
        decay=0.9,
        eps=1e-8,
        eps_place="inside",
        complex_form="modulus",
        source="https://github.com/google-deepmind/optax, optax/_src/alias.py and transform.py, eps_in_sqrt=True",
    ),
    Rule(
        name="jax-example",
        decay=0.9,
        eps=1e-8,
        eps_place="inside",
        source="https://github.com/jax-ml/jax, jax/example_libraries/optimizers.py",
    ),
    Rule(
        name="timm",
        lr=1e-2,
        decay=0.9,
        eps=1e-10,
        eps_place="inside",
        square_init=1.0,
        source="https://github.com/huggingface/pytorch-image-models, timm/optim/rmsprop_tf.py",
    ),
    Rule(
        name="sb3",
        lr=1e-2,
        decay=0.99,
        eps=1e-8,
        eps_place="inside",
        square_init=1.0,
        lr_in_momentum=False,
        source="https://github.com/DLR-RM/stable-baselines3, stable_baselines3/common/sb2_compat/rmsprop_tf_like.py",
    ),
    Rule(
        name="bitsandbytes",
        lr=1e-2,
        decay=0.99,
        eps=1e-8,
        source="https://github.com/bitsandbytes-foundation/bitsandbytes, bitsandbytes/optim/rmsprop.py, 32-bit state",
    ),
    Rule(
        name="paddle",
        decay=0.95,
        eps=1e-6,
        eps_place="inside",
        source="https://github.com/PaddlePaddle/Paddle, python/paddle/optimizer/rmsprop.py",
    ),
    Rule(
        name="mxnet",
        lr=1e-3,
        decay=0.9,
        eps=1e-8,
        eps_place="inside",
        source="https://github.com/apache/mxnet, python/mxnet/optimizer/rmsprop.py, fused operators; momentum 0.9 when centered",
    ),
    Rule(
        name="mindspore",
        lr=0.1,
        decay=0.9,
        eps=1e-10,
        eps_place="inside",
        square_init=1.0,
        source="https://github.com/mindspore-ai/mindspore, mindspore/python/mindspore/nn/optim/rmsprop.py",
    ),
    Rule(
        name="chainer",
        lr=0.01,
        decay=0.99,
        eps=1e-8,
        source="https://github.com/chainer/chainer, chainer/optimizers/rmsprop.py",
    ),
    Rule(
        name="mlx",
        decay=0.99,
        eps=1e-8,
        source="https://github.com/ml-explore/mlx, python/mlx/optimizers/optimizers.py",
    ),
    Rule(
        name="burn",
        decay=0.99,
        eps=1e-5,
        momentum=0.9,
        lr_in_momentum=False,
        source="https://github.com/tracel-ai/burn, crates/burn-optim/src/optim/rmsprop.rs",
    ),
    Rule(
        name="optimisers-jl",
        lr=1e-3,
        decay=0.9,
        eps=1e-8,
        complex_form="modulus",
        source="https://github.com/FluxML/Optimisers.jl, src/rules.jl",
    ),
    Rule(
        name="dqn",
        lr=2.5e-4,
        decay=0.95,
        eps=0.01,
        eps_place="inside",
        centered=True,
        source="Mnih et al., Human-level control through deep reinforcement learning, Nature 518 (2015), extended data table 1",
    ),
    Rule(
        name="a3c",
        lr=7e-4,
        decay=0.99,
        eps=0.1,
        eps_place="inside",
        source="Mnih et al., Asynchronous Methods for Deep Reinforcement Learning (2016), https://arxiv.org/abs/1602.01783",
    ),
)
_BY_NAME = {rule.name: rule for rule in _ROWS}

# Where switching one axis on moves another one, as the implementation itself does.
_IMPLIED: dict[str, tuple[str, dict[str, Any]]] = {
    "keras-legacy": ("momentum", {"eps_place": "inside"}),
    "mxnet": ("centered", {"momentum": 0.9}),
}


def dialect_names() -> tuple[str, ...]:
    """Return the names that `dialect` knows.

    Example:
        >>> dialect_names()[:4]
        ('article', 'hinton', 'graves', 'pytorch')
    """
    return tuple(_BY_NAME)


def dialect(name: str | Rule, **axes: Any) -> Rule:
    """Return the `Rule` of a dialect, with some axes changed.

    Args:
        name: one of `dialect_names()`, or a Rule, which is taken as it is.
        axes: axes of `Rule` to change. Where the implementation moves one axis with another, so does this: tf.keras's legacy
            optimizer has epsilon inside the root once it has momentum, MXNet's has momentum once it is centered.

    Returns:
        A frozen Rule with the dialect's defaults, the learning rate among them, and its source.

    Raises:
        ValueError: no dialect has that name (the message has the nearest ones), or an axis has a value that is not allowed.
        TypeError: a keyword is not an axis.

    Example:
        >>> dialect("tf1").eps_place, dialect("tf1").square_init
        ('inside', 1.0)
        >>> dialect("keras-legacy").eps_place, dialect("keras-legacy", momentum=0.9).eps_place
        ('outside', 'inside')
    """
    rule = name if isinstance(name, Rule) else _named(name)
    switch, implied = _IMPLIED.get(rule.name, ("", {}))
    if axes.get(switch) and rule == _BY_NAME.get(rule.name):
        axes = {**implied, **axes}
    return rule.replace(**axes) if axes else rule


def _named(name: Any) -> Rule:
    """Return the dialect of that name, or refuse it with the nearest ones."""
    if not isinstance(name, str):
        raise TypeError(f"dialect must be a name or a Rule, got {name!r}")
    if name not in _BY_NAME:
        near = get_close_matches(name.lower(), _BY_NAME, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"choose from {', '.join(_BY_NAME)}"
        raise ValueError(f"unknown dialect {name!r}; {hint}")
    return _BY_NAME[name]
