"""Threads, forks, memory and memory's tricks: nothing aborts, hangs, leaks, or writes where it should not."""

import copy
import sys

import pytest
import torch
from torch.nn import Parameter

from rmsprop.torch import RMSprop
from tests.torch.harness import OPTIONS, bits, feed, gradients, parameters, run_script, snapshot, twins

each_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())


class TestThreads:
    def test_eight_of_them_step_their_own_models_and_one_together(self):
        run_script(
            """
            import threading, torch
            from rmsprop.torch import RMSprop
            from tests.torch.harness import feed, gradients, parameters, snapshot, twins

            THREADS, STEPS = 8, 1000
            OPTIONS = [{}, {"momentum": 0.9}, {"centered": True}, {"weight_decay": 0.1, "centered": True, "momentum": 0.9}]
            shapes = [(300,), (20, 30), (), (0,), (7,)]
            models = [parameters(shapes, seed=i) for i in range(THREADS)]
            grads = [gradients(models[i], 10, seed=i) for i in range(THREADS)]

            def make(i, params):
                return RMSprop(params, lr=1e-3, **OPTIONS[i % len(OPTIONS)])

            def train(optimizer, params, mine, steps):
                for t in range(steps):
                    feed(optimizer, params, mine[t % len(mine)])

            wanted = []
            for i in range(THREADS):
                params = twins(models[i])
                optimizer = make(i, params)
                train(optimizer, params, grads[i], STEPS)
                wanted.append(snapshot(optimizer))

            shared = parameters([(50_000,), (3,)])
            together = RMSprop(shared, lr=1e-3, momentum=0.9)
            for p in shared:
                p.grad = torch.ones_like(p)
            together.step()
            optimizers = [make(i, models[i]) for i in range(THREADS)]
            errors, ready = [], threading.Barrier(THREADS)

            def work(i):
                try:
                    ready.wait(60)
                    train(optimizers[i], models[i], grads[i], STEPS)
                    for _ in range(STEPS):
                        together.step()
                except BaseException as error:
                    errors.append(error)
                    raise

            threads = [threading.Thread(target=work, args=(i,)) for i in range(THREADS)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            assert not errors, errors
            for i in range(THREADS):
                assert snapshot(optimizers[i]) == wanted[i], i
            for p in shared:
                assert p.isfinite().all()
                assert (p < 0).all(), p.max()  # some steps may be lost to one another, most are not
                assert all(s.isfinite().all() for s in together.state[p].values())

            # Tensors that one step shares among threads of its own.
            start = parameters([(400_000,)])
            models = [twins(start) for _ in range(5)]
            optimizers = [RMSprop(params, centered=True) for params in models]
            for params in models:
                params[0].grad = torch.linspace(-1, 1, 400_000)

            def repeat(optimizer):
                for _ in range(30):
                    optimizer.step()

            repeat(optimizers[-1])
            threads = [threading.Thread(target=repeat, args=(o,)) for o in optimizers[:-1]]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            for optimizer in optimizers[:-1]:
                assert snapshot(optimizer) == snapshot(optimizers[-1])
            """,
            timeout=240,
        )

    def test_one_step_has_the_same_bits_for_every_number_of_threads(self):
        params = parameters([(100_003,), (7,), (300, 301)])
        found, before = [], torch.get_num_threads()
        try:
            for count in (1, 2, 3):
                torch.set_num_threads(count)
                copies = twins(params)
                optimizer = RMSprop(copies, centered=True, momentum=0.9, max_norm=1.0)
                for grads in gradients(params, 2):
                    feed(optimizer, copies, grads)
                found.append(snapshot(optimizer))
        finally:
            torch.set_num_threads(before)
        assert found[0] == found[1] == found[2]


class TestProcesses:
    @pytest.mark.skipif(sys.platform != "linux", reason="forks with torch loaded are safe on Linux alone")
    def test_fork_data_loader_workers_and_exit_after_a_step(self):
        printed = run_script(
            """
            import atexit, os, signal, sys, torch
            from rmsprop.torch import RMSprop
            from tests.torch.harness import feed, gradients, parameters, snapshot, twins

            params = parameters([(200_000,), (7,)])
            copies = twins(params)
            grads = gradients(params, 6)
            ours, plain = RMSprop(params, momentum=0.9), RMSprop(copies, momentum=0.9)
            for g in grads[:3]:
                feed(ours, params, g)
                feed(plain, copies, g)
            for g in grads[3:]:
                feed(plain, copies, g)
            wanted = snapshot(plain)
            held = snapshot(ours)
            for _ in range(3):
                child = os.fork()
                if child == 0:
                    signal.alarm(40)
                    code = 1
                    try:
                        # Nothing here but the step uses threads: those of torch's operations do not survive a fork.
                        for each in grads[3:]:
                            for p, g in zip(params, each):
                                p.grad = g
                            ours.step()
                        code = 0 if snapshot(ours) == wanted else 3
                    finally:
                        os._exit(code)
                _, status = os.waitpid(child, 0)
                assert status == 0, f"the child ended with {os.waitstatus_to_exitcode(status)}"
            assert snapshot(ours) == held  # the child's steps are its own
            for g in grads[3:]:
                feed(ours, params, g)
            assert snapshot(ours) == wanted

            # Workers are forked while training goes on, and again in each epoch.
            data = torch.utils.data.TensorDataset(torch.randn(64, 4), torch.randn(64, 1))
            model = torch.nn.Linear(4, 1)
            optimizer = RMSprop([*model.parameters(), *params[:1]], lr=1e-3)
            params[0].grad = torch.ones_like(params[0])
            loader = torch.utils.data.DataLoader(data, batch_size=8, num_workers=2, multiprocessing_context="fork")
            steps = 0
            for _ in range(3):
                for x, y in loader:
                    for p in model.parameters():
                        p.grad = None
                    (model(x) - y).square().mean().backward()
                    optimizer.step()
                    steps += 1
            assert steps == 24
            assert optimizer.state[model.weight]["step"] == 24

            def late():
                ours.step()
                print("stepped at exit")

            atexit.register(late)
            """
        )
        assert printed.endswith("stepped at exit\n")

    def test_spawn_after_a_step(self, tmp_path):
        worker = tmp_path / "spawned_worker.py"
        worker.write_text(
            "from tests.torch.harness import feed, snapshot\n"
            "def work(optimizer, grads, out):\n"
            "    params = optimizer.param_groups[0]['params']\n"
            "    for g in grads:\n"
            "        feed(optimizer, params, g)\n"
            "    out.put(snapshot(optimizer))\n"
        )
        run_script(
            """
            import sys
            sys.path.insert(0, sys.argv[1])
            if __name__ == "__main__":
                import multiprocessing, torch
                import spawned_worker
                from rmsprop.torch import RMSprop
                from tests.torch.harness import feed, gradients, parameters, snapshot, twins

                params = parameters([(50_000,), (7,)])
                grads = gradients(params, 6)
                copies = twins(params)
                optimizer = RMSprop(params, momentum=0.9, centered=True)
                plain = RMSprop(copies, momentum=0.9, centered=True)
                for g in grads[:3]:
                    feed(optimizer, params, g)
                for g in grads:
                    feed(plain, copies, g)
                context = multiprocessing.get_context("spawn")
                out = context.Queue()
                child = context.Process(target=spawned_worker.work, args=(optimizer, grads[3:], out))
                child.start()
                found = out.get(timeout=90)
                child.join(30)
                assert child.exitcode == 0, child.exitcode
                assert found == snapshot(plain)
                assert snapshot(optimizer) == found  # what is sent to another process is from then on shared with it
                feed(optimizer, params, grads[0])
                feed(plain, copies, grads[0])
                assert snapshot(optimizer) == snapshot(plain)
            """,
            str(tmp_path),
        )


class TestMemory:
    @pytest.mark.skipif(sys.platform != "linux", reason="the high-water mark is reset through Linux's /proc")
    def test_a_step_makes_nothing_of_the_size_of_a_parameter(self):
        printed = run_script(
            """
            import gc, re, torch
            from rmsprop.torch import RMSprop

            def peak():
                with open("/proc/self/status") as file:
                    return int(re.search(r"VmHWM:\\s+(\\d+) kB", file.read()).group(1)) * 1024

            def now():
                with open("/proc/self/status") as file:
                    return int(re.search(r"VmRSS:\\s+(\\d+) kB", file.read()).group(1)) * 1024

            everything = dict(centered=True, momentum=0.9, weight_decay=0.1, maximize=True)
            SIZE = 8_000_000
            for dtype, options in [
                (torch.float32, {}),
                (torch.float32, everything),
                (torch.float32, everything | dict(max_norm=1.0, on_nonfinite="skip", ema_decay=0.9)),
                (torch.bfloat16, everything),
                (torch.bfloat16, dict(stochastic_rounding=True)),
                (torch.complex64, everything),
            ]:
                p = torch.nn.Parameter(torch.ones(SIZE if not dtype.is_complex else SIZE // 2, dtype=dtype))
                p.grad = torch.full_like(p, 0.5)
                optimizer = RMSprop([p], **options)
                small = torch.nn.Parameter(torch.ones(40_000, dtype=dtype))
                small.grad = torch.ones_like(small)
                RMSprop([small], **options).step()  # compiles what there is to compile
                start = now()
                with open("/proc/self/clear_refs", "w") as file:
                    file.write("5")  # the peak starts again from here
                optimizer.step()
                made = sum(s.nbytes for s in optimizer.state[p].values())
                first = peak() - start - made
                with open("/proc/self/clear_refs", "w") as file:
                    file.write("5")
                start = now()
                optimizer.step()
                print(dtype, p.nbytes, first, peak() - start)
                del optimizer, p
                gc.collect()
            """,
            timeout=200,
        )
        lines = [line.rsplit(maxsplit=3) for line in printed.splitlines()]
        assert len(lines) == 6
        for name, size, first, second in lines:
            assert int(first) < int(size) / 8, (
                f"the first step of {name} took {int(first) / int(size):.2f} of a parameter beyond its state"
            )
            assert int(second) < int(size) / 8, f"a step of {name} took {int(second) / int(size):.2f} of a parameter"

    def test_steps_do_not_leak_tensors(self):
        import gc

        params = parameters()
        optimizer = RMSprop(params, **OPTIONS["everything"])
        grads = gradients(params, 1)[0]

        def live():
            gc.collect()
            return sum(issubclass(type(o), torch.Tensor) for o in gc.get_objects())

        for _ in range(3):
            feed(optimizer, params, grads)
        before = live()
        for _ in range(20):
            feed(optimizer, params, grads)
        assert live() <= before

    def test_an_optimizer_lets_its_model_go(self):
        import gc
        import weakref

        params = parameters()
        optimizer = RMSprop(params, momentum=0.9)
        feed(optimizer, params, gradients(params, 1)[0])
        gone = [weakref.ref(params[0]), weakref.ref(optimizer), weakref.ref(optimizer.state[params[0]]["square_avg"])]
        del params, optimizer
        gc.collect()
        assert [g() for g in gone] == [None] * 3


class TestAliases:
    def refuse(self, params, groups=None):
        def build_and_step():
            optimizer = RMSprop(groups or params)
            for p in params:
                p.grad = torch.ones(p.shape)
            optimizer.step()

        held = bits(params)
        with pytest.raises(ValueError, match=r"memory|more than once"):
            build_and_step()
        assert bits(params) == held

    def test_parameters_that_share_memory_are_refused(self):
        base = torch.zeros(10)
        self.refuse([Parameter(base[:6]), Parameter(base[5:])])
        self.refuse([Parameter(base), Parameter(base.view(2, 5))])
        self.refuse([Parameter(base[::2]), Parameter(base[2:5])])

    def test_in_different_groups_too(self):
        base = torch.zeros(10)
        one, other = Parameter(base[:6]), Parameter(base[5:])
        self.refuse([one, other], [{"params": [one]}, {"params": [other], "lr": 0.1, "momentum": 0.9}])

    @pytest.mark.parametrize("base", [torch.zeros(1), torch.zeros(())], ids=["1-d", "0-d"])
    def test_an_expanded_parameter_is_refused(self, base):
        self.refuse([Parameter(base.expand(5))])
        self.refuse([Parameter(torch.zeros(9).as_strided((3, 3), (2, 1)))])

    def test_one_parameter_twice_warns_as_torch_and_is_refused_at_the_step(self):
        p = Parameter(torch.zeros(3))
        with pytest.warns(UserWarning, match="duplicate parameters"):
            optimizer = RMSprop([p, p])
        p.grad = torch.ones(3)
        with pytest.raises(ValueError, match=r"twice|more than once|memory"):
            optimizer.step()
        assert not p.any()

    def test_neighbours_in_one_buffer_are_not_aliases(self):
        base = torch.zeros(12)
        params = [Parameter(base[:5]), Parameter(base[5:10].view(5, 1)), Parameter(base[10:11]), Parameter(base[11])]
        interleaved = torch.zeros(8)
        params += [Parameter(interleaved[::2]), Parameter(interleaved[1::2])]
        optimizer = RMSprop(params)
        feed(optimizer, params, [torch.ones(p.shape) for p in params])
        assert (base < 0).all()
        assert (interleaved < 0).all()

    def test_empty_parameters_at_one_place_are_not_aliases(self):
        base = torch.zeros(4)
        params = [Parameter(base), Parameter(base[2:2]), Parameter(base[4:]), Parameter(torch.empty(0)), Parameter(torch.empty(0))]
        feed(RMSprop(params), params, [torch.ones(p.shape) for p in params])
        assert (base < 0).all()

    def test_parameters_that_come_to_share_memory_later_are_refused(self):
        params = [Parameter(torch.zeros(4)), Parameter(torch.zeros(4))]
        optimizer = RMSprop(params)
        feed(optimizer, params, [torch.ones(4), torch.ones(4)])
        params[1].data = params[0].data
        held = snapshot(optimizer)
        for p in params:
            p.grad = torch.ones(4)
        with pytest.raises(ValueError, match="memory"):
            optimizer.step()
        assert snapshot(optimizer) == held

    def test_a_gradient_may_be_shared_and_may_be_the_parameter(self):
        for options in OPTIONS.values():
            params = parameters([(500,), (500,)])
            copies = twins(params)
            ours, other = RMSprop(params, **options), RMSprop(copies, **options)
            g = torch.ones(500)
            for p in params:
                p.grad = g
            ours.step()
            feed(other, copies, [g, g])
            assert bits(params) == bits(copies)
            params[0].grad, params[1].grad = params[0].detach(), None  # itself: weight decay by hand
            held = params[0].detach().clone()
            ours.step()
            feed(other, copies, [held, None])
            assert bits(params) == bits(copies)

    def test_a_gradient_that_is_another_parameter_is_read_before_it_changes(self):
        for options in OPTIONS.values():
            params = parameters([(500,), (500,)])
            copies = twins(params)
            ours, other = RMSprop(params, **options), RMSprop(copies, **options)
            values = [p.detach().clone() for p in params]
            params[0].grad, params[1].grad = params[1].detach(), params[0].detach()
            ours.step()
            feed(other, copies, values[::-1])
            assert bits(params) == bits(copies)

    def test_an_expanded_gradient_is_read_as_it_is(self):
        p, q = parameters([(4, 3)]), parameters([(4, 3)])
        ours, other = RMSprop(p), RMSprop(q)
        p[0].grad = torch.tensor(2.0).expand(4, 3)
        q[0].grad = torch.full((4, 3), 2.0)
        ours.step()
        other.step()
        assert bits(p) == bits(q)


class TestAutograd:
    @each_option
    def test_a_graph_from_before_the_step_is_known_to_be_stale(self, options):
        for cls in (RMSprop, torch.optim.RMSprop):
            p = parameters([(4,)])[0]
            optimizer = cls([p], **options)
            loss = p.pow(2).sum()
            feed(optimizer, [p], [torch.ones(4)])
            with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                loss.backward()

    def test_every_parameter_that_moves_counts_a_version_and_no_other_does(self):
        params = parameters([(4,), (4,), (500, 3), ()])
        optimizer = RMSprop(params, momentum=0.9)
        before = [p._version for p in params]
        feed(optimizer, params, [torch.ones(p.shape) if i != 1 else None for i, p in enumerate(params)])
        assert [p._version > v for p, v in zip(params, before, strict=True)] == [True, False, True, True]

    def test_a_skipped_step_leaves_the_graph_alone(self):
        p = parameters([(4,)])[0]
        optimizer = RMSprop([p], on_nonfinite="skip")
        loss = p.pow(2).sum()
        feed(optimizer, [p], [torch.full((4,), torch.nan)])
        p.grad = None
        loss.backward()
        assert torch.equal(p.grad, 2 * p.detach())


class TestMovedMemory:
    """What a step remembers between calls must never be trusted over what the tensors are now."""

    def both(self, options, shapes=((500,), (7,), (3, 5))):
        params = parameters(shapes)
        copies = twins(params)
        ours, plain = RMSprop(params, **options), RMSprop(copies, **options)
        grads = gradients(params, 6)
        for g in grads[:2]:
            feed(ours, params, g)
            feed(plain, copies, g)
        return params, copies, ours, plain, grads[2:]

    def go_on(self, params, copies, ours, plain, grads):
        for g in grads:
            feed(ours, params, g)
            feed(plain, copies, g)
            assert bits(params) == bits(copies)
        assert snapshot(ours) == snapshot(plain)

    @each_option
    def test_data_swapped_for_other_memory(self, options):
        params, copies, ours, plain, grads = self.both(options)
        old = [p.data for p in params]
        for p in params:
            p.data = p.data.clone()
        held = bits(old)
        self.go_on(params, copies, ours, plain, grads)
        assert bits(old) == held

    @each_option
    def test_tensors_swapped_beneath_their_names(self, options):
        params, copies, ours, plain, grads = self.both(options)
        for p in params:
            p.grad = None
            torch.utils.swap_tensors(p, Parameter(p.detach().clone()))
        self.go_on(params, copies, ours, plain, grads)

    @each_option
    def test_data_swapped_for_another_layout_and_back(self, options):
        params, copies, ours, plain, grads = self.both(options, ((6, 4), (2, 3, 4, 5)))
        params[0].data = params[0].data.t().contiguous().t()
        params[1].data = params[1].data.contiguous(memory_format=torch.channels_last)
        for t, g in enumerate(grads):
            feed(ours, params, g)
            feed(plain, copies, g)
            for p, q in zip(params, copies, strict=True):
                assert torch.equal(p, q), t
                assert torch.equal(
                    ours.state[p]["square_avg" if "square_avg" in ours.state[p] else "variance"],
                    plain.state[q]["square_avg" if "square_avg" in plain.state[q] else "variance"],
                )
            if t == 1:
                for p in params:
                    p.data = p.data.contiguous()

    @each_option
    def test_gradients_of_other_strides_each_time(self, options):
        params, copies, ours, plain, grads = self.both(options, ((6, 4), (8, 2)))
        layouts = [
            lambda g: g.t().contiguous().t(),
            lambda g: torch.stack([g, g], -1)[..., 1],
            lambda g: g.flip(0).flip(0),
            lambda g: torch.cat([g, g])[: len(g)],
        ]
        for layout, each in zip(layouts, grads, strict=True):
            for p, q, g in zip(params, copies, each, strict=True):
                p.grad, q.grad = layout(g), g.clone()
            ours.step()
            plain.step()
            assert bits(params) == bits(copies)

    @each_option
    def test_gradients_accumulated_in_place_and_replaced(self, options):
        params, copies, ours, plain, grads = self.both(options)
        kept = [torch.zeros_like(p) for p in params]
        for t, each in enumerate(grads):
            for p, q, k, g in zip(params, copies, kept, each, strict=True):
                k.copy_(g)
                p.grad, q.grad = (g.clone() if t == 2 else k), g.clone()
            ours.step()
            plain.step()
            assert bits(params) == bits(copies)

    @each_option
    def test_parameters_written_to_between_steps(self, options):
        params, copies, ours, plain, grads = self.both(options)
        with torch.no_grad():
            for p, q in zip(params, copies, strict=True):
                p.mul_(0.5)
                q.mul_(0.5)
        self.go_on(params, copies, ours, plain, grads)

    @each_option
    @pytest.mark.parametrize("how", ["cleared", "replaced", "emptied"])
    def test_state_thrown_away_starts_afresh(self, options, how):
        from collections import defaultdict

        params, _, ours, _, grads = self.both(options)
        copies = twins(params)
        plain = RMSprop(copies, **options)
        if how == "cleared":
            ours.state.clear()
        elif how == "replaced":
            ours.state = defaultdict(dict)
        else:
            for p in params:
                ours.state[p] = {}
        self.go_on(params, copies, ours, plain, grads)

    @each_option
    def test_state_tensors_exchanged_by_hand(self, options):
        params, copies, ours, plain, grads = self.both(options)
        for p in params:
            ours.state[p] = {name: s.clone() for name, s in ours.state[p].items()}
        self.go_on(params, copies, ours, plain, grads)

    @each_option
    def test_state_tensors_exchanged_within_their_dict(self, options):
        params, copies, ours, plain, grads = self.both(options)
        for t, each in enumerate(grads):
            for optimizer, of in ((ours, params), (plain, copies)):
                for p in of[:2]:
                    name = sorted(optimizer.state[p])[t % len(optimizer.state[p])]
                    held = optimizer.state[p][name]
                    if optimizer is ours:
                        optimizer.state[p][name] = held * 2 + 1  # another tensor
                    else:
                        held.mul_(2).add_(1)
            feed(ours, params, each)
            feed(plain, copies, each)
            assert snapshot(ours) == snapshot(plain)

    def test_a_buffer_deleted_starts_afresh(self):
        params, copies, ours, plain, grads = self.both({"momentum": 0.9})
        for p, q in zip(params, copies, strict=True):
            del ours.state[p]["momentum_buffer"]
            plain.state[q]["momentum_buffer"].zero_()
        self.go_on(params, copies, ours, plain, grads)

    @each_option
    def test_a_parameter_grown_with_its_state_moved_over(self, options):
        # Gaussian splatting adds and prunes points: a new Parameter in the group, its state by hand.
        params, copies, ours, plain, _ = self.both(options, ((6, 3), (4,)))
        for optimizer, of in ((ours, params), (plain, copies)):
            state = optimizer.state.pop(of[0])
            grown = Parameter(torch.cat([of[0].detach()[1:], torch.ones(3, 3)]))
            for name, held in state.items():
                if name != "step":
                    state[name] = torch.cat([held[1:], torch.zeros(3, 3)])
            optimizer.state[grown] = state
            optimizer.param_groups[0]["params"][0] = grown
            of[0] = grown
        fresh = RMSprop(twins(params), **options)
        fresh.load_state_dict(copy.deepcopy(plain.state_dict()))
        moved = fresh.param_groups[0]["params"]
        for g in gradients(params, 3, seed=9):
            feed(ours, params, g)
            feed(plain, copies, g)
            feed(fresh, moved, g)
        assert params[0].shape == (8, 3)
        assert bits(params) == bits(copies) == bits(moved)
        assert ours.state[params[0]]["step"] == 5

    @each_option
    def test_state_moved_to_shared_memory_by_the_user(self, options):
        params, copies, ours, plain, grads = self.both(options)
        for p in params:
            p.share_memory_()
            for s in ours.state[p].values():
                s.share_memory_()
        self.go_on(params, copies, ours, plain, grads)
        assert all(s.is_shared() for p in params for s in ours.state[p].values())

    def test_parameters_cast_to_another_dtype(self):
        # In a process of its own: state of half the size would be overrun.
        run_script(
            """
            import torch
            from rmsprop.torch import RMSprop
            from tests.torch.harness import OPTIONS, bits, gradients, parameters

            for before, after in [(torch.float32, torch.float64), (torch.float64, torch.float32), (torch.float32, torch.bfloat16)]:
                for options in OPTIONS.values():
                    model = torch.nn.ParameterList(parameters([(5000,), (7,)], before))
                    params = list(model)
                    optimizer = RMSprop(params, **options)
                    grads = gradients(params, 4)
                    for t, each in enumerate(grads):
                        if t == 2:
                            model.to(after)  # exchanges each parameter's data
                            again = [torch.nn.Parameter(p.detach().clone()) for p in params]
                            resumed = RMSprop(again, **options)
                            resumed.load_state_dict(optimizer.state_dict())
                        for p, g in zip(params, each, strict=True):
                            p.grad = g.to(p.dtype)
                        optimizer.step()
                        if t >= 2:
                            for p, g in zip(again, each, strict=True):
                                p.grad = g.to(p.dtype)
                            resumed.step()
                            assert bits(params) == bits(again), (before, after, options)
                    assert all(p.dtype == after and p.isfinite().all() for p in params)
            """
        )

    def test_memory_that_is_not_aligned(self):
        for dtype in (torch.float32, torch.float64, torch.bfloat16):
            raw = torch.zeros(8 * 1001 + 64, dtype=torch.uint8)
            size = torch.empty((), dtype=dtype).element_size()
            params = parameters([(1000,)], dtype)
            odd = Parameter(raw[size : size * 1001].view(dtype))
            with torch.no_grad():
                odd.copy_(params[0])
            ours, plain = RMSprop([odd]), RMSprop(params)
            for g in gradients(params, 2):
                feed(ours, [odd], g)
                feed(plain, params, g)
            assert bits([odd]) == bits(params)
