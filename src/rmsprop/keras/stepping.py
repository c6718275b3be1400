"""One variable's step: the rule on the tensors of whatever backend Keras runs."""

from collections.abc import Callable
from functools import cache
from typing import Any

from keras import backend, ops

from rmsprop.kernels.operands import One, Rate
from rmsprop.kernels.precision import biases
from rmsprop.rule import Rule, Scalars, bind, square

BACKEND = backend.backend()
# XLA and TensorFlow take subnormal numbers for 0, and so leave none in the state.
FLUSHED = BACKEND != "torch"
# In what each dtype of variables is computed; state is kept in the same precision.
COMPUTED = {"float16": "float32", "bfloat16": "float32", "float32": "float32", "float64": "float64"}

Tensor = Any  # of the backend


@cache
def bound(rule: Rule, real: str) -> Callable[..., tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Return the rule bound to the backend's tensors.

    Args:
        rule: only the branches that it takes count; `Rule.branches`.
        real: dtype name of the arithmetic.
    """
    update: Callable[..., Any]
    if BACKEND == "torch":
        from rmsprop.kernels import eager

        update = eager.bound(rule, real)
    else:
        update = bind(rule, sqrt=ops.sqrt, square=square)  # variables are real, whatever the form for complex ones
    return update


def scalars(rule: Rule, lr: Any, steps: Any, real: str) -> Scalars:
    """Return the scalar arguments of `update` for the step that follows: numbers, and tensors where only the backend knows them.

    Args:
        rule: the dialect.
        lr: learning rate of this step, a number or a tensor of no dimension.
        steps: taken so far, the same.
        real: dtype name of the arithmetic.
    """
    prior: Any = 1.0
    correction: Any = 1.0
    divisor: Any = 1.0
    if rule.bias_correction and BACKEND == "jax":
        from rmsprop.kernels.xla import gathered  # JAX has double precision only where it was asked for

        steps = ops.convert_to_tensor(steps)
        prior, correction = gathered(rule.decay, steps, real), gathered(rule.decay, steps + 1, real)
        divisor = ops.where(prior == 0, ops.ones_like(prior), prior)
    elif rule.bias_correction:
        prior, correction, divisor = biases(rule.decay, ops.cast(steps, "float64"), ops.where)
    lr = lr if isinstance(lr, float) else ops.cast(lr, real)
    found = rule.arranged(
        lr, rule.decay, 1 - rule.decay, rule.eps, rule.momentum, rule.weight_decay, correction, prior, divisor, One()
    )
    cast = Scalars(*(value if isinstance(value, float | One) else ops.cast(value, real) for value in found))
    return cast._replace(inner=Rate(cast.inner))  # type: ignore[arg-type]  # it stands for a number


def dense(gradient: Any, like: Any) -> Tensor:
    """Return a gradient as a dense tensor in the arithmetic's dtype; what a sparse one has for one row is summed up.

    Args:
        gradient: anything that the backend takes for a gradient.
        like: the state of the gradient's variable.

    Raises:
        ValueError: it has another shape than the variable.
    """
    if hasattr(gradient, "dense_shape") and hasattr(gradient, "values"):  # rows, as TensorFlow's embeddings have them
        gradient = ops.segment_sum(gradient.values, gradient.indices, num_segments=like.shape[0])
    tensor = ops.cast(ops.convert_to_tensor(gradient, sparse=False), like.dtype)
    if len(tensor.shape) != len(like.shape) or any(n not in (None, m) for n, m in zip(tensor.shape, like.shape, strict=True)):
        raise ValueError(f"a gradient must have its variable's shape {tuple(like.shape)}, got {tuple(tensor.shape)}")
    return tensor
