"""Threads: the same bits for every number of them, and no abort or hang with other threads, forks and spawns around."""

import hashlib
import multiprocessing
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import rmsprop
from rmsprop.kernels import columns, threads
from tests.cases import LRS, RULES, gradients, parameters


@pytest.fixture
def many_threads(monkeypatch):
    """Let small arrays be shared out too, and put the number of threads back."""
    monkeypatch.setattr(columns, "GRAIN", 50)
    before = rmsprop.get_num_threads()
    yield
    rmsprop.set_num_threads(before)


def train(rule, kind, size=5003):
    rng = np.random.default_rng(0)
    shapes = [(size,), (7,), (0,), (3, 333), ()]
    params = [parameters(rng, shape, kind) for shape in shapes]
    optimizer = rmsprop.RMSprop(params, LRS.__getitem__, rule)
    per_step = zip(*(gradients(rng, shape, kind) for shape in shapes), strict=True)
    for grads in per_step:
        optimizer.step(list(grads))
    arrays = [*params, *(a for held in optimizer.state.values() for a in held)]
    return hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()


@pytest.mark.parametrize("kind", ["float16", "float32", "float64", "complex64"])
@pytest.mark.parametrize("name", ["article", "everything", "modulus, everything"])
def test_same_bits_for_every_number_of_threads(many_threads, name, kind):
    digests = set()
    for count in (1, 2, 3, 4, 7, 16):
        rmsprop.set_num_threads(count)
        digests.add(train(RULES[name], kind))
    assert len(digests) == 1


def test_parts_cover_every_element_once(many_threads):
    for count in (1, 2, 3, 16):
        rmsprop.set_num_threads(count)
        for total in (0, 1, 63, 64, 65, 1000, 4096):
            seen = np.zeros(total, int)

            def work(first, last, seen=seen):
                seen[first:last] += 1

            threads.share(work, total, grain=10)
            assert (seen == 1).all()


def test_an_error_in_a_part_reaches_the_caller(many_threads):
    rmsprop.set_num_threads(4)

    def work(first, last):
        if first:
            raise RuntimeError("in a worker")

    with pytest.raises(RuntimeError, match="in a worker"):
        threads.share(work, 1000, grain=10)


@pytest.mark.parametrize(
    ("count", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), ("2", TypeError), (True, TypeError)]
)
def test_bad_numbers_of_threads_are_refused(count, error):
    with pytest.raises(error, match="number of threads must be"):
        rmsprop.set_num_threads(count)


def test_default_is_the_cores_that_this_process_may_use():
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    code = "import rmsprop; print(rmsprop.get_num_threads())"
    assert int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout) == allowed


def test_eight_python_threads_at_once(many_threads):
    rmsprop.set_num_threads(3)
    wanted = train(RULES["everything"], "float32")
    found = []

    def work():
        for _ in range(25):
            found.append(train(RULES["everything"], "float32", 5003))

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=120)
    assert not any(worker.is_alive() for worker in workers)
    assert found == [wanted] * 200


def _report(queue):
    columns.GRAIN = 50
    rmsprop.set_num_threads(3)
    queue.put(train(RULES["article"], "float32"))


def step_then_start_a_child(method):
    """Exit with 0 if parent and child agree, the pool being alive when the child is made."""
    columns.GRAIN = 50
    rmsprop.set_num_threads(3)
    wanted = train(RULES["article"], "float32")
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=_report, args=(queue,))
    child.start()
    same = queue.get(timeout=120) == wanted
    child.join(timeout=60)
    sys.exit(0 if same and child.exitcode == 0 and train(RULES["article"], "float32") == wanted else 1)


@pytest.mark.parametrize("method", [m for m in ("fork", "spawn") if m in multiprocessing.get_all_start_methods()])
def test_child_processes_after_a_step(method):
    """In a process of its own, as other libraries that the tests load warn of every fork."""
    code = f"from tests.kernels import test_threads; test_threads.step_then_start_a_child({method!r})"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr


def test_a_thread_that_cannot_be_started_changes_nothing(many_threads, monkeypatch):
    """The pool queues a task before it starts a thread for it: the task must not run beside the caller's own."""

    def fail(self):
        raise RuntimeError("can't start new thread")

    rmsprop.set_num_threads(5)
    monkeypatch.setattr(threads, "_pool", None)
    start = threading.Thread.start
    for working in (0, 1, 2):
        left = [working]

        def some(self, left=left):
            if not left[0]:
                fail(self)
            left[0] -= 1
            start(self)

        monkeypatch.setattr(threading.Thread, "start", some)
        seen = np.zeros(1000, int)

        def work(first, last, seen=seen):
            seen[first:last] += 1

        threads.share(work, 1000, grain=10)
        monkeypatch.setattr(threading.Thread, "start", start)
        assert (seen == 1).all()
        monkeypatch.setattr(threads, "_pool", None)


def test_growing_the_pool_while_others_step(many_threads):
    wanted = train(RULES["article"], "float32")
    stop = threading.Event()
    failures = []

    def work():
        try:
            while not stop.is_set():
                assert train(RULES["article"], "float32") == wanted
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for count in range(2, 40):
        rmsprop.set_num_threads(count)
        train(RULES["article"], "float32")
    stop.set()
    for worker in workers:
        worker.join(timeout=120)
    assert not failures


def test_a_step_while_the_interpreter_ends():
    code = """
import atexit, numpy as np, rmsprop
from rmsprop.kernels import columns
columns.GRAIN = 50
rmsprop.set_num_threads(3)
p = np.ones(5000)
optimizer = rmsprop.RMSprop(p)
atexit.register(lambda: (optimizer.step(p * 1.0), print(len(set(p.tolist())))))
optimizer.step(p * 1.0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "1", "")
