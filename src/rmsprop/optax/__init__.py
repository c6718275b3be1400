"""RMSprop as a gradient transformation of optax, in every dialect.

>>> import jax.numpy as jnp
>>> optimizer = rmsprop(0.1, dialect="pytorch", momentum=0.9)
>>> optimizer.init(jnp.zeros(3)).momentum_buffer.tolist()
[0.0, 0.0, 0.0]
"""

try:
    from rmsprop.optax.alias import rmsprop, scale_by_rule
    from rmsprop.optax.transform import ScaleByRuleState
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in ("jax", "jaxlib", "optax"):
        raise
    raise ImportError("rmsprop.optax needs JAX and optax; install them with: pip install 'rmsprop[jax]'") from error

__all__ = ["ScaleByRuleState", "rmsprop", "scale_by_rule"]
