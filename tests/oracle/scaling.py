"""What scaling groups over fixtures/cloudwatch must decide: straight-line Python that shares nothing with the engine.

    python3 tests/oracle/scaling.py          writes fixtures/cloudwatch/scaling.csv

Alarms are those of `alarms.py`. On top of them, minute by minute: step policies, by how far the metric is from the threshold, and target
tracking, whose alarms are on after three periods above the target and after fifteen below nine tenths of it. Instances that
warm up count as if they were not there when a size is computed, and as there when it is compared. Rules are those of EC2 Auto
Scaling, written down as its documentation tells them.
"""

import math
from datetime import timedelta

from alarms import ALARM, MINUTE, NO_DATA, ROOT, evaluate, samples, write


def percent(size, by, least):
    """What is not zero is at least one, all else is cut towards zero; and at least `least` instances."""
    change = size * by / 100
    whole = math.copysign(1, change) if 0 < abs(change) < 1 else math.trunc(change)
    if by != 0 and abs(whole) < least:
        whole = math.copysign(least, by)
    return size + int(whole)


def step(metric, threshold, above, steps):
    """The number of the step that the metric is in. Above the threshold a lower bound belongs to it, below an upper one."""
    distance = metric - threshold
    for low, high, by in steps:
        if above and low <= distance < high or not above and low < distance <= high:
            return by
    return None


class Group:
    def __init__(self, least, most, size, warmup):
        self.least, self.most, self.size, self.warmup = least, most, size, warmup
        self.launched = []

    def ask(self, now, policy, capacity):
        """A policy that wants `capacity(size)` instances of that many that work; what comes of it, if the size changes."""
        self.launched = [(until, count) for until, count in self.launched if until > now]
        warming = min(sum(count for _, count in self.launched), self.size)
        wanted = capacity(self.size - warming)
        if warming and wanted <= self.size:
            return None
        wanted = min(max(wanted, self.least), self.most)
        if wanted == self.size:
            return None
        before, self.size = self.size, wanted
        if wanted > before:
            self.launched.append((now + self.warmup, wanted - before))
        return now.isoformat(), policy, before, wanted


OUT = [(0, 10, 10), (10, 20, 20), (20, math.inf, 50)]
IN = [(-10, 0, -10), (-math.inf, -10, -30)]


def stepped(name, high, low, group, least, folder="cloudwatch", every=MINUTE):
    """A step policy on each of two alarms, of which one at most is on."""
    series = samples(name, folder)
    over = evaluate(series, "average", 5, ">", high, 2, 2, "missing", every)
    under = evaluate(series, "average", 5, "<", low, 2, 2, "missing", every)
    for (now, _, hot, metric), (_, _, cold, _) in zip(over, under, strict=True):
        assert not (hot == ALARM and cold == ALARM)
        if metric is None:
            continue
        if hot == ALARM and (by := step(metric, high, True, OUT)) is not None:
            yield group.ask(now, f"{name}_out", lambda size: percent(size, by, least))
        if cold == ALARM and (by := step(metric, low, False, IN)) is not None:
            yield group.ask(now, f"{name}_in", lambda size: percent(size, by, 0))


def tracked(name, target, group, folder="cloudwatch", statistic="average", period=5, every=MINUTE):
    """Target tracking, over periods of five minutes unless others are given."""
    series = samples(name, folder)
    over = evaluate(series, statistic, period, ">", target, 3, 3, "missing", every)
    under = evaluate(series, statistic, period, "<", target * 0.9, 15, 15, "missing", every)
    for (now, _, hot, metric), (_, _, cold, _) in zip(over, under):
        if metric is not None and (hot == ALARM or hot != NO_DATA and cold == ALARM):
            exact = lambda size: math.ceil(round(size * metric / target, 9))
            yield group.ask(now, f"{name}_hold", exact)


def main():
    minutes = lambda count: timedelta(minutes=count)
    groups = [
        ("cpu_steps", stepped("cpu", 70, 50, Group(2, 40, 10, minutes(10)), 2)),
        ("load_steps", stepped("load", 48, 40, Group(2, 40, 10, minutes(10)), 2)),
        ("load_target", tracked("load", 44, Group(1, 60, 20, minutes(7)))),
        ("network_target", tracked("network", 300_000, Group(1, 100, 10, minutes(5)))),
    ]
    rows = [(name, *row) for name, decided in groups for row in decided if row]
    write(ROOT / "fixtures/cloudwatch/scaling.csv", ["group", "at", "by", "before", "after"], rows)


if __name__ == "__main__":
    main()
