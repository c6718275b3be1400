"""What only a CUDA device can show: streams, several of them, memory beyond 2³¹ elements, distributed training."""

import threading

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from rmsprop.kernels.gpu import build  # noqa: E402
from rmsprop.torch import RMSprop  # noqa: E402
from tests.gpu.harness import Twins, compiled_pass, moved, same  # noqa: E402
from tests.torch.harness import gradients, parameters  # noqa: E402

pytestmark = pytest.mark.gpu
FAR = 2**31


def test_it_is_taken_without_being_asked_for(gpu, monkeypatch):
    params = [torch.nn.Parameter(p.detach().to(gpu)) for p in parameters([(7,)])]
    optimizer = RMSprop(params)
    params[0].grad = torch.ones_like(params[0])
    taken = []
    monkeypatch.setattr(
        build.Kernel, "__call__", lambda kernel, *args, real=build.Kernel.__call__: taken.append(real(kernel, *args))
    )
    optimizer.step()
    assert taken == [None]


@pytest.mark.filterwarnings("ignore")  # of the profiler, about what it cannot see of other kinds
def test_many_tensors_are_one_launch(gpu):
    params = [torch.nn.Parameter(torch.zeros(k % 50, device=gpu)) for k in range(2_000)]
    for p in params:
        p.grad = torch.ones_like(p)
    optimizer = RMSprop(params, lr=0.01, fused=True)
    optimizer.step()
    torch.cuda.synchronize()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as seen:
        optimizer._step(None)
        torch.cuda.synchronize()
    launched = [event for event in seen.events() if event.device_type == torch.autograd.DeviceType.CUDA]
    assert len(launched) == 1, [event.name for event in launched]


def test_more_than_two_to_the_31_elements(gpu):
    size = FAR + 1000
    free = torch.cuda.mem_get_info()[0]
    if free < size * 9:
        pytest.skip(f"needs {size * 9 / 1e9:.0f} GB of the device's memory, {free / 1e9:.0f} are free")
    p = torch.nn.Parameter(torch.zeros(size, dtype=torch.bfloat16, device=gpu))
    p.grad = torch.ones_like(p)
    marks = [0, 1, 2**30, FAR - 1, FAR, FAR + 1, size - 1]
    for k, mark in enumerate(marks):
        p.grad[mark] = 2.0 + k
    optimizer = RMSprop([p], lr=0.5, alpha=0.75, eps=1e-8, fused=True)
    optimizer.step()
    v = optimizer.state[p]["square_avg"]
    assert [v[mark].item() for mark in marks] == [0.25 * (2 + k) ** 2 for k in range(len(marks))]
    assert [p[mark].item() for mark in marks] == [-1.0] * len(marks)
    for first in range(0, size, 2**28):
        part = slice(first, first + 2**28)
        assert (p.detach()[part] == -1).all()
        assert int((v[part] != 0.25).sum()) == sum(first <= mark < first + 2**28 for mark in marks)


def test_each_stream_steps_its_own_model(gpu):
    models = [Twins(gpu, [(1000,), (7,)], momentum=0.9, lr=0.01 * (k + 1)) for k in range(3)]
    streams = [torch.cuda.Stream() for _ in models]
    grads = gradients(models[0].host, 20)
    there = [[moved(g, gpu) for g in each] for each in grads]
    torch.cuda.synchronize()
    for each, far in zip(grads, there, strict=True):
        for twins, stream in zip(models, streams, strict=True):
            with torch.cuda.stream(stream):
                for q, g in zip(twins.far, far, strict=True):
                    q.grad = g
                twins.ours.step()
            for p, g in zip(twins.host, each, strict=True):
                p.grad = g
            twins.theirs.step()
    torch.cuda.synchronize()
    for twins in models:
        twins.check()


def test_a_step_follows_the_backward_pass_of_its_stream(gpu):
    side = torch.cuda.Stream()
    twins = Twins(gpu, [(100_000,)])
    (each,) = gradients(twins.host, 1)
    torch.cuda.synchronize()
    with torch.cuda.stream(side):
        torch.cuda._sleep(50_000_000)
        twins.far[0].grad = moved(each[0], gpu)
        twins.ours.step()
    torch.cuda.synchronize()
    twins.host[0].grad = each[0]
    twins.theirs.step()
    twins.check()


def test_tables_outlive_an_optimizer_that_is_gone_before_the_device_has_read_them(gpu):
    side = torch.cuda.Stream()
    twins = Twins(gpu, [(1000,)] * 50)
    first, second = gradients(twins.host, 2)
    twins.step(first)
    for q, g in zip(twins.far, second, strict=True):
        q.grad = moved(g, gpu)
    torch.cuda.synchronize()
    with torch.cuda.stream(side):
        torch.cuda._sleep(100_000_000)
        twins.ours.step()
    del twins.ours
    # Memory that is handed out anew, and overwritten before the side stream comes to it.
    taken = [torch.full((64 * k,), -1, dtype=torch.int64, device=gpu) for k in range(1, 100)]
    torch.cuda.synchronize()
    assert taken
    for p, g in zip(twins.host, second, strict=True):
        p.grad = g
    twins.theirs.step()
    assert all(map(same, twins.far, twins.host))


def test_threads_step_their_own_models(gpu):
    models = [Twins(gpu, [(500,), (3,)], momentum=0.9) for _ in range(4)]
    grads = gradients(models[0].host, 10)
    errors = []

    def work(twins):
        try:
            with torch.cuda.stream(torch.cuda.Stream()):
                for each in grads:
                    for q, g in zip(twins.far, each, strict=True):
                        q.grad = moved(g, gpu)
                    twins.ours.step()
                torch.cuda.current_stream().synchronize()
        except BaseException as error:
            errors.append(error)

    torch.cuda.synchronize()
    threads = [threading.Thread(target=work, args=(twins,)) for twins in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    for twins in models:
        for each in grads:
            for p, g in zip(twins.host, each, strict=True):
                p.grad = g
            twins.theirs.step()
        twins.check()


def test_a_model_on_two_devices(gpu):
    if torch.cuda.device_count() < 2:
        pytest.skip(f"{torch.cuda.device_count()} CUDA device is here, and two are needed")
    host = parameters([(7,), (5,), (3,)])
    places = [gpu, torch.device("cuda", 1), torch.device("cpu")]
    far = [torch.nn.Parameter(p.detach().to(place)) for p, place in zip(host, places, strict=True)]
    ours, theirs = RMSprop(far, momentum=0.9, max_norm=1e6, fused=True), RMSprop(host, momentum=0.9, max_norm=1e6)
    for each in gradients(host, 3):
        for p, q, g in zip(host, far, each, strict=True):
            p.grad, q.grad = g.clone(), g.to(q.device)
        ours.step()
        theirs.step()
        assert all(map(same, far, host))


def test_state_on_the_wrong_device_is_brought_over(gpu):
    twins = Twins(gpu, [(7,)], momentum=0.9).run(1)
    entry = twins.ours.state[twins.far[0]]
    entry["square_avg"] = entry["square_avg"].cpu()
    twins.run(2, seed=2)


@pytest.mark.parametrize("kind", ["ddp", "fsdp2"])
def test_distributed_training_of_one_process(gpu, kind):
    import torch.distributed as dist
    from torch.distributed.fsdp import fully_shard

    if not dist.is_nccl_available():
        pytest.skip("this build of PyTorch has no NCCL")
    torch.manual_seed(0)
    plain, spread = torch.nn.Linear(6, 3), torch.nn.Linear(6, 3)
    spread.load_state_dict(plain.state_dict())
    inputs = torch.randn(4, 6)
    dist.init_process_group("nccl", store=dist.HashStore(), rank=0, world_size=1, device_id=gpu)
    try:
        spread = spread.to(gpu)
        if kind == "ddp":
            spread = torch.nn.parallel.DistributedDataParallel(spread, device_ids=[gpu])
        else:
            spread = fully_shard(spread, mesh=dist.init_device_mesh("cuda", (1,)))
        ours, theirs = RMSprop(spread.parameters(), lr=0.01, max_norm=1.0), RMSprop(plain.parameters(), lr=0.01, max_norm=1.0)
        for _ in range(3):
            for model, optimizer, x in ((spread, ours, inputs.to(gpu)), (plain, theirs, inputs)):
                optimizer.zero_grad()
                model(x).square().sum().backward()
                with compiled_pass():
                    optimizer.step()
        for q, p in zip(spread.parameters(), plain.parameters(), strict=True):
            full = q.full_tensor() if hasattr(q, "full_tensor") else q
            torch.testing.assert_close(full.detach().cpu(), p.detach(), rtol=1e-4, atol=1e-5)
    finally:
        dist.destroy_process_group()
