"""Make jax-example.json from jax.example_libraries.optimizers.rmsprop and rmsprop_momentum.

pip install jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6     # CPU
python tests/golden/make_jax_example.py
"""

import inspect
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from cases import CHANGING, Case, case, matrix, save
from jax.example_libraries.optimizers import rmsprop, rmsprop_momentum

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_platforms", "cpu")


def run(one: Case, p0: np.ndarray, grads: list[np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """Step one of the two optimizers through a case: with momentum it is another function there."""
    told = {"gamma" if key == "decay" else key: value for key, value in one.axes.items()}
    make = rmsprop_momentum if "momentum" in told else rmsprop
    table = jnp.asarray(one.lr, one.real_dtype)
    init, update, params = make(one.lr[0] if len(set(one.lr)) == 1 else lambda i: table[i], **told)
    state = init(jnp.asarray(p0))
    for t, g in enumerate(grads):
        state = update(t, jnp.asarray(g), state)
        leaves = state.packed_state[0]
        yield {"p": np.asarray(params(state)), "v": np.asarray(leaves[1])} | ({"b": np.asarray(leaves[2])} if leaves[2:] else {})


made = matrix("jax-example", centered=(False,))
made += [
    case("jax-example", {"decay": 0.5, "eps": 0.03}),
    case("jax-example", {"decay": 0.99, "eps": 0.001, "momentum": 0.5}, lr=CHANGING),
]
found = inspect.signature(rmsprop).parameters
save(
    "jax-example",
    made,
    run,
    upstream="jax.example_libraries.optimizers.rmsprop, rmsprop_momentum",
    packages=("jax", "jaxlib", "numpy"),
    defaults={"lr": None, "decay": found["gamma"].default, "eps": found["eps"].default},
    slots={"v": "avg_sq_grad", "b": "mom"},
    note="rmsprop_momentum's own default momentum is 0.9; rmsprop has none",
)
