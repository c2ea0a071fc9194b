"""Real processes, each told what to do and when, so that nothing depends on the machine's speed."""

import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from load_tests.accounting import Account, Cost, cpu_s_by_process, cpu_s_by_thread, pss_by_process

# Burns 0.3 s of CPU time in a child for each line, waits for it, and answers.
PARENT = """
import subprocess, sys
burn = "import time\\nwhile time.process_time() < 0.3: pass"
print("up", flush=True)
for line in sys.stdin:
    subprocess.run([sys.executable, "-c", burn])
    print("done", flush=True)
"""


@pytest.fixture
def parent():
    process = subprocess.Popen(  # noqa: S603 - our own script
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "up\n"
    yield process
    process.communicate()


def ask(process):
    process.stdin.write("burn\n")
    process.stdin.flush()
    assert process.stdout.readline() == "done\n"


def test_children_that_ended_during_the_load_are_counted_and_earlier_ones_are_not(parent):
    ask(parent)
    account = Account([parent.pid])
    ask(parent)
    cost = account.close()
    assert 0.28 <= cost.cpu_s < 0.6  # the kernel counts in ticks of 0.01 s
    assert cost.processes == 1
    assert cost.pss_bytes > 1_000_000


def test_a_process_in_two_trees_counts_once(parent):
    alone = pss_by_process([parent.pid])
    assert list(alone) == list(pss_by_process([parent.pid, parent.pid]))
    assert f"{parent.pid} " in next(iter(alone))
    assert f"{parent.pid} " in " ".join(pss_by_process([os.getpid()]))


def test_cpu_time_so_far_is_told_of_each_process(parent):
    before = cpu_s_by_process([parent.pid])
    ask(parent)
    after = cpu_s_by_process([parent.pid])
    assert list(after) == list(before)
    assert next(iter(after)).startswith(f"{parent.pid} ")
    assert 0.28 <= sum(after.values()) - sum(before.values()) < 0.6


def test_a_process_that_is_gone_costs_nothing(parent):
    account = Account([parent.pid])
    parent.communicate()
    assert account.close() == Cost(0.0, 0, 0)
    assert pss_by_process([parent.pid]) == {}


@contextmanager
def titled(title):
    """A process of that title, which waits for its end."""
    command = [title, "-c", "echo up; read line"]
    with subprocess.Popen(  # noqa: S603 - our own script
        command, executable="/bin/sh", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "up\n"
        yield process.pid


@pytest.mark.parametrize(("applications", "counted"), [((), 3), (("ours", "gateway"), 2), (("gateway",), 1)])
def test_replicas_of_other_applications_idle_at_nobodys_cost(parent, applications, counted):
    with titled("ray::ServeReplica:ours:Deployment") as ours, titled("ray::ServeReplica:theirs:Deployment") as theirs:
        assert Account([ours, theirs, parent.pid], applications).close().processes == counted


@pytest.mark.parametrize("title", ["ray::Controller", "ray::ServeReplica:digits-v1.2:digits"])
def test_what_ray_adds_to_a_title_is_no_other_process(title):
    with titled(f"{title}.method()") as pid:
        assert list(cpu_s_by_process([pid])) == [f"{pid} {title}"]


def test_cpu_time_so_far_is_told_of_each_thread():
    started, end = threading.Event(), threading.Event()

    def burn():
        until = time.thread_time() + 0.2
        while time.thread_time() < until:
            pass
        started.set()
        end.wait()

    thread = threading.Thread(target=burn)
    thread.start()
    started.wait()
    processes = cpu_s_by_thread([os.getpid()])
    end.set()
    thread.join()
    (threads,) = (threads for name, threads in processes.items() if name.startswith(f"{os.getpid()} "))
    assert 0.18 <= threads[thread.native_id] < 0.3  # the kernel counts in ticks of 0.01 s


def test_cpu_seconds_are_for_a_thousand_requests():
    assert Cost(3.0, 0, 1).cpu_s_per_1000(6000) == 0.5
    assert str(Cost(3.0, 0, 1).cpu_s_per_1000(0)) == "nan"
