"""The machine: what it is, what it can do at best, and how much of it others took while something was measured."""
import json
import os
import platform
import resource
import time
from dataclasses import dataclass, field
from pathlib import Path

from common import run


def describe():
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "unknown")
    return {"cpu": model, "cpus": usable_cpus(), "kernel": platform.release(), "date": time.strftime("%Y-%m-%d")}


def usable_cpus():
    return len(os.sched_getaffinity(0))


def ceilings(atom, threads):
    """{"read_gb_per_second", "gflops": {unit: rate}}; without bench_ceilings beside atom, the bandwidth alone."""
    program = Path(atom).with_name("bench_ceilings")
    if program.is_file():
        return json.loads(run([program, threads]))
    found = json.loads(run([atom, "doctor", "--measure", "--json", "--threads", threads]))
    return {"threads": threads, "read_gb_per_second": found["memory"]["read_gb_per_second"], "gflops": {}}


def cpu_seconds():
    """(busy, stolen by the hypervisor), of all CPUs since the system started."""
    user, nice, system, _, _, irq, softirq, steal = map(int, open("/proc/stat").readline().split()[1:9])
    tick = os.sysconf("SC_CLK_TCK")
    return (user + nice + system + irq + softirq) / tick, steal / tick


def own_seconds():
    """CPU time of this process and of the children that it has waited for."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


@dataclass
class Sample:
    """One measurement: its values, and the shares of the CPUs' time that other processes and the hypervisor took meanwhile."""
    values: list = field(default_factory=list)
    others: float = 0
    steal: float = 0
    tries: int = 1

    @property
    def disturbed(self):
        return self.others + self.steal


def observe(work):
    """work() as a Sample. Its child processes must have ended when it returns."""
    start, (busy, steal), own = time.monotonic(), cpu_seconds(), own_seconds()
    values = work()
    cpus = (time.monotonic() - start) * (os.cpu_count() or 1)
    busy_after, steal_after = cpu_seconds()
    others = busy_after - busy - (own_seconds() - own)
    return Sample(values, max(0, others / cpus), max(0, (steal_after - steal) / cpus))


def quietest(work, limit, repeats):
    """work() again while it is disturbed, at most `repeats` times more; -> the least disturbed Sample."""
    best, tries = None, 0
    while best is None or (best.disturbed > limit and tries <= repeats):
        sample = observe(work)
        tries += 1
        if best is None or sample.disturbed < best.disturbed:
            best = sample
    best.tries = tries
    return best
