"""The optimizer that PyTorch's users see: arguments, steps, and what they save and load."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import optimizer as hooks
from torch.optim.optimizer import Optimizer, ParamsT

from rmsprop.inherited import Inherited, inherited
from rmsprop.kernels.precision import check_precision
from rmsprop.rule import Rule
from rmsprop.torch import saved
from rmsprop.torch.aliases import refuse_aliases
from rmsprop.torch.options import (
    EXTRAS,
    KEYS,
    check_extras,
    check_lr,
    given,
    rule_for,
    rule_of,
    spread,
    weight_decay_form,
)
from rmsprop.torch.plan import Plan
from rmsprop.torch.report import Writer, log, report
from rmsprop.torch.state import COMPUTED, name
from rmsprop.torch.stepping import advance
from rmsprop.torch.tracing import gather, traceable, traced


def observed(optimizer: Optimizer) -> bool:
    """Return whether a profiler, a compiler or a hook is to hear of an optimizer's steps."""
    return bool(
        torch.autograd.profiler._is_profiler_enabled
        or optimizer._optimizer_step_pre_hooks
        or optimizer._optimizer_step_post_hooks
        or hooks._global_optimizer_pre_hooks
        or hooks._global_optimizer_post_hooks
        or torch.compiler.is_compiling()
    )


class RMSprop(Optimizer):
    """RMSprop in any dialect, in the place of `torch.optim.RMSprop`.

    v ← alpha·v + (1 - alpha)·g²,  p ← p - lr / (√v + eps)·g

    With `dialect="timm"`, "sb3", "tf1", "keras", "optax" or another of `rmsprop.dialect_names()` it is that optimizer: what is left
    out has the dialect's value, here those of PyTorch. All options may differ by param group.

    On a CPU a step is one compiled pass over the tensors' own memory, on as many threads as PyTorch uses, with the same bits for
    every number of them; on a GPU it is one launch for all tensors of a dtype, through Triton, with the same bits, too. Elsewhere,
    under `torch.compile`, with `differentiable=True` and for tensor subclasses it is the same rule on PyTorch's operations. float16
    and bfloat16 parameters are computed, and have their state, in float32.

    Args:
        params: tensors, (name, tensor) pairs, or dicts of groups: anything that `torch.optim.Optimizer` takes.
        lr: learning rate, ≥ 0, in units of the parameters: a number, or a tensor of one element, which no device waits for.
        alpha: weight of the past in the means of g² and g, in [0, 1).
        eps: added to the denominator, > 0.
        weight_decay: strength of the decay, ≥ 0.
        momentum: weight of the past in the momentum buffer, in [0, 1).
        centered: divide by the standard deviation of g instead of its root mean square; the variance cannot turn negative.
        capturable: keep the counts of steps on the device, for CUDA graphs.
        foreach: where there is no fused pass, whether to take tensors together; None does on accelerators.
        maximize: ascend instead of descend.
        differentiable: let autograd see the step.
        dialect: a name of `rmsprop.dialect_names()`, or an `rmsprop.Rule`.
        nesterov: step along momentum·b + the newest term instead of b.
        decoupled_weight_decay: True takes lr·weight_decay·p off p before the step; False adds weight_decay·p to g.
        sparse: what to do about sparse gradients: "error"; "lazy" updates only the rows that occur; "dense" takes the rest as 0.
        on_nonfinite: what to do about a gradient that holds NaN or infinity or whose square overflows: "raise" FloatingPointError,
            "skip" the step and count it in `skipped` (either leaves all parameters and state as they were), or "propagate" it.
            "raise" waits for the device.
        max_norm: clip the norm of all gradients, those of all groups with the same value together, to this, as
            `torch.nn.utils.clip_grad_norm_` does, but without touching the gradients.
        ema_decay: keep the moving average ema_decay·e + (1 - ema_decay)·p of the parameters, in [0, 1), for `averaged`.
        stochastic_rounding: round 16-bit parameters up or down by chance, so that small steps are not lost. The chance depends on
            the element and the count of steps alone.
        fused: None takes the compiled pass wherever it can be had, True insists on it, False never does.
        approximate: on a GPU, take the hardware's approximate division and root and fused multiply-adds, an ulp or two from what
            every device gives otherwise.

    Raises:
        TypeError: an argument has the wrong type, or a parameter is of a dtype that cannot be optimized.
        ValueError: a value is not allowed, or parameters share memory.

    Example:
        >>> model = torch.nn.Linear(3, 1)
        >>> optimizer = RMSprop(model.parameters(), lr=1e-3, dialect="tf1", momentum=0.9, max_norm=1.0)
        >>> model(torch.ones(2, 3)).sum().backward()
        >>> optimizer.step()
        >>> sorted(optimizer.state[model.weight])
        ['momentum_buffer', 'square_avg', 'step']

    Source: the interface is that of https://github.com/pytorch/pytorch, torch/optim/rmsprop.py; the rule is `rmsprop.rule.update`.
    """

    # Tells torch.amp.GradScaler to hand over grad_scale and found_inf instead of unscaling and waiting for the device.
    _step_supports_amp_scaling = True

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = inherited(1e-2),
        alpha: float = inherited(0.99),
        eps: float = inherited(1e-8),
        weight_decay: float = inherited(0),
        momentum: float = inherited(0),
        centered: bool = inherited(False),
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = inherited(False),
        differentiable: bool = False,
        *,
        dialect: str | Rule = "pytorch",
        nesterov: bool | None = None,
        decoupled_weight_decay: bool | None = None,
        sparse: Literal["error", "lazy", "dense"] = "error",
        on_nonfinite: Literal["raise", "skip", "propagate"] = "propagate",
        max_norm: float | None = None,
        ema_decay: float | None = None,
        stochastic_rounding: bool = False,
        fused: bool | None = None,
        approximate: bool = False,
    ) -> None:
        """Check everything, then take the parameters."""
        form = weight_decay_form(decoupled_weight_decay)
        axes = {"alpha": alpha, "eps": eps, "weight_decay": weight_decay, "momentum": momentum, "centered": centered}
        self._given = given(**axes, maximize=maximize, nesterov=nesterov, weight_decay_form=form)
        self._dialect = dialect
        self._lr: Any = lr
        rule = rule_for(dialect, self._given)
        if isinstance(lr, Inherited):
            lr = rule.lr  # type: ignore[assignment]  # where the dialect has none, each group must have its own
        else:
            check_lr(lr)
        extras: dict[str, Any] = {"capturable": capturable, "foreach": foreach, "differentiable": differentiable, "sparse": sparse}
        extras |= {"on_nonfinite": on_nonfinite, "max_norm": max_norm, "ema_decay": ema_decay}
        extras |= {"stochastic_rounding": stochastic_rounding, "fused": fused, "approximate": approximate}
        check_extras(extras)
        self._plan: Plan | None = None
        self._in_average = False
        self._skipped: int | Tensor = 0
        super().__init__(params, {"lr": lr, **spread(rule), **extras})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters with options of its own; a dialect among them brings its values for what is not given.

        Args:
            param_group: "params", and any of the constructor's options.

        Raises:
            TypeError: a parameter's dtype cannot be optimized.
            ValueError: a value is not allowed, or parameters share memory.
        """
        if isinstance(param_group, dict):
            self._resolve(param_group)
        super().add_param_group(param_group)
        try:
            for p in param_group["params"]:
                if p.dtype not in COMPUTED:
                    allowed = ", ".join(str(kind) for kind in COMPUTED)
                    raise TypeError(f"a parameter must be one of {allowed}, got {p.dtype}; convert it with .to")
            rule, lr = rule_of(param_group), param_group["lr"]
            for kind in {name(COMPUTED[p.dtype]) for p in param_group["params"]}:
                check_precision(rule, kind, 0.0 if isinstance(lr, Tensor) else float(lr))
            # A parameter that is there twice gets PyTorch's warning here, and is refused by the first step.
            refuse_aliases(dict(self._named()).items())
        except (TypeError, ValueError):
            self.param_groups.pop()
            raise
        self._plan = None

    def _resolve(self, group: dict[str, Any]) -> None:
        """Spell out what a group's options mean, and refuse what is not allowed."""
        form = weight_decay_form(group.pop("decoupled_weight_decay", None))
        own = given(**{key: group[key] for key in KEYS.values() if key in group}, weight_decay_form=form)
        rule = rule_for(group.get("dialect", self._dialect), {**self._given, **own})
        lr = group.get("lr", rule.lr if isinstance(self._lr, Inherited) else self._lr)
        if lr is None:
            raise ValueError(f"dialect {rule.name!r} has no default learning rate; pass lr, such as lr=0.001")
        check_lr(lr)
        check_extras({key: group.get(key, self.defaults[key]) for key in EXTRAS})
        group.update(spread(rule), lr=lr)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters once.

        Args:
            closure: computes the loss and its gradients, if they are not there yet.

        Returns:
            What closure returned, or None.

        Raises:
            FloatingPointError: with on_nonfinite="raise", a gradient is not finite or its square overflows; nothing was changed.
            RuntimeError: a gradient is sparse and `sparse` is "error", or averaged weights are swapped in.
            ValueError: an option was set to what is not allowed, a gradient does not fit, or parameters share memory.
        """
        # A class that overrides this method was wrapped by PyTorch, and has called the hooks by now.
        if type(self).step is not RMSprop.step or not observed(self):
            return self._step(closure)
        return self._observed_step(closure)

    def _step(self, closure: Callable[[], Any] | None) -> Any:
        """Update the parameters once, with nobody looking on."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if self._in_average:
            raise RuntimeError("the averaged weights are swapped in; leave `with optimizer.averaged()` before the next step")
        if not torch.compiler.is_compiling():
            self._skipped += advance(self, self._planned())
        elif all(traceable(group) for group in self.param_groups):
            traced(self)
        else:
            self._interrupt()
        return loss

    _observed_step = Optimizer.profile_hook_step(_step)
    # PyTorch wraps `step` of each class so that it tells the profiler and calls hooks, at a cost of ten microseconds. It leaves one
    # alone that says it is wrapped; that is done above, when there is anyone to tell.
    step.hooked = True  # type: ignore[attr-defined]

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _interrupt(self) -> None:
        """Take one step outside of the compiled code that calls it."""
        self._skipped += advance(self, self._planned())

    def _init_group(self, group: dict[str, Any], *lists: Any) -> None:
        """Fill lists with a group's tensors, for `torch.compile`, which knows this method by its name."""
        params, grads, v, m, b, averages, steps, told = lists
        gather(group, self.state, params, grads, [v, m, b], averages, steps, told)
        self._plan = None

    @property
    def skipped(self) -> int:
        """How many steps on_nonfinite="skip" has left out since this object was made; waits for the device if one decided."""
        return int(self._skipped)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Swap the averaged weights in, as in `with optimizer.averaged(): evaluate(model)`; parameters without one stay.

        Raises:
            RuntimeError: no group has ema_decay, or they are swapped in already.

        Example:
            >>> w = torch.ones(1, requires_grad=True)
            >>> optimizer = RMSprop([w], lr=0.1, alpha=0.75, ema_decay=0.5)
            >>> (2 * w).sum().backward()
            >>> optimizer.step()
            >>> with optimizer.averaged():
            ...     print(round(w.item(), 6))
            0.9
            >>> round(w.item(), 6)
            0.8
        """
        if self._in_average:
            raise RuntimeError("the averaged weights are swapped in already")
        if all(group["ema_decay"] is None for group in self.param_groups):
            raise RuntimeError("there is no average of the weights; pass ema_decay, such as ema_decay=0.999")
        held = [(p, self.state[p]["ema"]) for p, _ in self._named() if "ema" in self.state.get(p, {})]
        with torch.no_grad():
            own = [p.detach().clone() for p, _ in held]
            self._in_average = True
            try:
                for p, average in held:
                    p.copy_(average)
                yield
            finally:
                with torch.no_grad():
                    for (p, _), value in zip(held, own, strict=True):
                        p.copy_(value)
                self._in_average = False

    def share_memory(self) -> "RMSprop":
        """Make all state and move it to shared memory, so that processes that step one model share its statistics.

        Returns:
            This optimizer. Hand it, and the model after `model.share_memory()`, to the processes.

        Source: shared statistics are those of Mnih et al. (2016), https://arxiv.org/abs/1602.01783.
        """
        self._planned(every=True)
        for entry in self.state.values():
            for value in entry.values():
                value.share_memory_()
        self._plan = None
        return self

    def report(self) -> dict[str, Any]:
        """Return, for each group and layer, what the optimizer does to it; see `rmsprop.torch.report.report`."""
        return report(self)

    def log(self, writer: Writer, step: int, prefix: str = "rmsprop") -> None:
        """Write the report as scalars, to TensorBoard or what is like it; see `rmsprop.torch.report.log`."""
        log(self, writer, step, prefix)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def state_dict(self) -> dict[str, Any]:
        """Return the state as `torch.optim.RMSprop` has it: each group's options as plain values, and each parameter's tensors.

        Centered groups have square_avg beside the variance that they keep, so that PyTorch's own optimizer can go on from it.
        """
        own = self.state
        try:
            self.state = saved.written(self.param_groups, own)
            return super().state_dict()
        finally:
            self.state = own

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state dict: one of ours, of `torch.optim.RMSprop`, or of an optimizer built like it. It is copied.

        Options that it does not have stay as they are.

        Args:
            state_dict: what `state_dict` returned.

        Raises:
            TypeError: a part of it has the wrong type.
            ValueError: it is not a state of these parameters, or is incomplete; nothing was changed.
        """
        state_dict = state_dict.copy()
        for pre_hook in self._optimizer_load_state_dict_pre_hooks.values():
            state_dict = pre_hook(self, state_dict) or state_dict
        groups, state = saved.read(state_dict, self.param_groups)
        self.__setstate__({"state": state, "param_groups": groups})
        for post_hook in self._optimizer_load_state_dict_post_hooks.values():
            post_hook(self)

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy or a pickle needs: all but the addresses of this object's tensors."""
        kept = ("_given", "_dialect", "_lr", "_skipped")
        return {**super().__getstate__(), **{name: getattr(self, name) for name in kept}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take a copy's or a state dict's groups and state; what an older release did not have yet is as it was then."""
        own = {"_given": {}, "_dialect": "pytorch", "_lr": inherited(1e-2), "_skipped": 0, "_plan": None, "_in_average": False}
        super().__setstate__({**{key: value for key, value in own.items() if key not in self.__dict__}, **state})
        self._plan, self._in_average = None, False
        for group in self.param_groups:
            for key, value in {**spread(rule_for(self._dialect, self._given)), **EXTRAS}.items():
                group.setdefault(key, value)

    def _planned(self, *, every: bool = False, anew: bool = False) -> Plan:
        """Return what the groups amount to now."""
        plan = self._plan
        if plan is None or every or anew or not plan.holds(self.param_groups, self.state):
            refuse_aliases(self._named())
            plan = self._plan = Plan(self.param_groups, self.state, every=every, before=plan)
        return plan

    def _named(self) -> Iterator[tuple[Tensor, str]]:
        """Yield each parameter with what it is called."""
        for number, group in enumerate(self.param_groups):
            names = group.get("param_names") or [f"group{number}.param{k}" for k in range(len(group["params"]))]
            yield from zip(group["params"], names, strict=True)
